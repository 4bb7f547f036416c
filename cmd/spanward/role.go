package main

import (
	"context"
	"crypto/tls"
	"net"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/output"
	"github.com/spanward/spanward/keys"
)

// baggage is what maintainers and dispatchers need before they can be made.
type baggage struct {
	log                  *zap.Logger
	layout               keys.Layout
	etcd                 *clientv3.Client
	listener             *listener
	serverTLS, clientTLS *tls.Config
	http                 *httpServer
	failpoints           *failpoint.Set
}

// bring checks all flags before it touches the network, so that a mistake is told at once.
func (a *app) bring(ctx context.Context, f *serveFlags, role string) (*baggage, error) {
	b := &baggage{}
	if err := b.collect(ctx, a, f, role); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *baggage) collect(ctx context.Context, a *app, f *serveFlags, role string) (err error) {
	if err = f.check(); err != nil {
		return err
	}
	if b.log, err = f.log.logger(a.stderr); err != nil {
		return err
	}
	if b.layout, err = a.cluster.layout(); err != nil {
		return err
	}
	if b.failpoints, err = a.failpoints(); err != nil {
		return err
	}
	if b.clientTLS, err = a.cluster.tls.client(); err != nil {
		return err
	}
	if b.listener, b.serverTLS, err = f.open(a.cluster.tls); err != nil {
		return err
	}
	if b.http, err = f.openHTTP(role); err != nil {
		return err
	}
	b.etcd, err = a.cluster.etcd.connect(ctx, b.log)
	return err
}

func (b *baggage) close() {
	if b.listener != nil {
		_ = b.listener.Close() // whoever served it has closed it before
	}
	if b.http != nil && b.http.listener != nil {
		_ = b.http.listener.Close()
	}
	if b.etcd != nil {
		_ = b.etcd.Close()
	}
}

// announce tells the world that the process serves, once it does.
func (b *baggage) announce(f *serveFlags, address string, serves <-chan struct{}) server {
	return serveFunc(func(ctx context.Context) error {
		select {
		case <-serves:
		case <-ctx.Done():
			return nil
		}
		b.http.serving.Store(true)
		b.log.Info("serving", zap.String("name", f.name), zap.String("address", address))
		r := newReady(f.name, address)
		if b.http.listener != nil {
			r.HTTP = output.Text(b.http.listener.Addr().String())
		}
		return writeReady(f.readyFile, r)
	})
}

// listener tells when somebody serves it.
type listener struct {
	net.Listener
	once      sync.Once
	accepting chan struct{}
}

func newListener(l net.Listener) *listener {
	return &listener{Listener: l, accepting: make(chan struct{})}
}

// Accept is called by a server that is ready for connections.
func (l *listener) Accept() (net.Conn, error) {
	l.once.Do(func() { close(l.accepting) })
	return l.Listener.Accept()
}
