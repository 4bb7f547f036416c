package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// httpServer serves metrics and health to those who watch the process.
type httpServer struct {
	listener net.Listener // nil: nothing is served
	registry *prometheus.Registry
	// serving is set once the process serves what it is there for.
	serving atomic.Bool
	watched
}

// watched is a role that can be asked how it is: why it should be started anew, and why it cannot do its part.
type watched struct{ alive, ready func() error }

// watch makes the process show what the role says of itself. It comes before Run.
func (h *httpServer) watch(w watched, numbers prometheus.Collector) {
	h.watched = w
	h.registry.MustRegister(numbers)
}

var errNotServing = errors.New("not serving yet")

func (h *httpServer) readiness() error {
	if !h.serving.Load() {
		return errNotServing
	}
	return h.ready()
}

// httpStop bounds the wait for scrapes in flight.
const httpStop = time.Second

func (f *serveFlags) openHTTP(role string) (*httpServer, error) {
	h := &httpServer{registry: prometheus.NewRegistry()}
	v := ownVersion()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "spanward_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"role": role, "name": f.name, "version": v.Version, "go": v.Go},
	})
	info.Set(1)
	h.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	if f.httpListen == "" {
		return h, nil
	}
	if err := f.allowed("--http-listen", f.httpListen, false); err != nil {
		return nil, err
	}
	var err error
	h.listener, err = listen("--http-listen", f.httpListen)
	return h, err
}

// Run serves until ctx ends.
func (h *httpServer) Run(ctx context.Context) error {
	if h.listener == nil {
		return nil
	}
	s := &http.Server{Handler: h.handler(), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(h.listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpStop)
	defer cancel()
	if err := s.Shutdown(late); err != nil {
		_ = s.Close() // a scrape that takes this long is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (h *httpServer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", verdict(h.alive))
	mux.HandleFunc("GET /readyz", verdict(h.readiness))
	return mux
}

// verdict answers ok, or 503 and why not.
func verdict(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}
