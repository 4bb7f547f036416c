package maintainer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/leases"
)

// Config tells a maintainer who it is and how patient to be.
type Config struct {
	// Layout of the cluster's keys. Required.
	Layout keys.Layout
	// Name of this replica, unique in the cluster. Required. A second process with the same name waits until the
	// session of the first is over.
	Name string
	// Advertise is the address at which other processes reach Listener. Required.
	Advertise string
	// Listener is where the control API and dispatcher sessions are served. Required; Run closes it.
	Listener net.Listener
	// ServerTLS is for Listener. Nil means plain text.
	ServerTLS *tls.Config
	// TLS is for connections to the leader. Nil means plain text.
	TLS *tls.Config
	// Dial makes the network connection to another maintainer. Nil means TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Client of etcd. Required; Run does not close it.
	Client *clientv3.Client
	// Version of the program, as it is shown.
	Version string
	// Validators check the settings of keyspaces, by workload. A workload without one takes any settings.
	Validators map[string]Validator
	// Clock counts suspends. Nil means the host's CLOCK_BOOTTIME.
	Clock leases.Clock
	// Logger may be nil.
	Logger *zap.Logger
	// Failpoints may be nil.
	Failpoints *failpoint.Set

	// TTL is how long etcd keeps the seat of a silent leader. Zero means 5 s; whole seconds, at least 2. Failover
	// takes up to this long when a whole host dies; a leader that pauses longer loses the seat.
	TTL time.Duration
	// The fields from here to HistoryCount, but for the timeouts of this process itself, are settings that can be changed
	// while the cluster runs: what is stored there goes before them. Zero means the default of package settings, which
	// has their bounds as well.

	// AskRetry is how long an ask that nobody answered waits before it is sent again. It doubles up to MaxAskRetry. Too
	// short repeats asks that are only slow, which is harmless.
	AskRetry, MaxAskRetry time.Duration
	// OpenRetry is the pause after an opening that failed. It doubles up to MaxOpenRetry, with jitter.
	OpenRetry, MaxOpenRetry time.Duration
	// OpenTimeout and CloseTimeout are how long the opening or closing of one span may take; more where the operator has
	// several spans or the node is busy, or an initial copy gets further. A keyspace may have its own.
	// What opens too late is given up, and tried elsewhere; what closes too late cannot be, and is shown as stuck.
	OpenTimeout, CloseTimeout time.Duration
	// Settle is how long a new leader places nothing freely while some registered node has not connected to it yet.
	// Without it whoever connects first gets everything; what is already decided does not wait.
	Settle time.Duration
	// ProgressEvery is how often checkpoints that changed are written to etcd. A span whose owner dies
	// goes back by up to this much; each round writes one key per bucket that changed.
	ProgressEvery time.Duration
	// StandbyEvery is how often a standby tells the leader how far its view is, if it has moved. Zero means 100 ms.
	StandbyEvery time.Duration
	// RegisterTimeout bounds how long a dispatcher's first message, and the view, may take. Zero means 5 s.
	RegisterTimeout time.Duration
	// RequestTimeout bounds each single request to etcd. Zero means 2 s.
	RequestTimeout time.Duration
	// ResignTimeout bounds what a leader that stops may still do: name a successor and give its session up. Zero
	// means 3 s.
	ResignTimeout time.Duration
	// InFlight bounds the asks that one node has not answered yet.
	InFlight int
	// DrainInFlight bounds the moves that the drain of one node has in flight. More empties it sooner, and leaves more spans
	// without an owner at a time.
	DrainInFlight int
	// HistoryAge is how long a finished operator is remembered, and with it its request id: a command that is repeated
	// after that is carried out again.
	HistoryAge time.Duration
	// HistoryCount is how many of them are remembered in each keyspace, if they are older than two minutes. Each takes some
	// hundred bytes in etcd and in the memory of every maintainer.
	HistoryCount int
}

const (
	defaultTTL             = 5 * time.Second
	defaultStandbyEvery    = 100 * time.Millisecond
	defaultRegisterTimeout = 5 * time.Second
	defaultRequestTimeout  = 2 * time.Second
	defaultResignTimeout   = 3 * time.Second

	minTTL = 2 * time.Second
)

func (c Config) withDefaults() Config {
	fill := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	fill(&c.TTL, defaultTTL)
	fill(&c.StandbyEvery, defaultStandbyEvery)
	fill(&c.RegisterTimeout, defaultRegisterTimeout)
	fill(&c.RequestTimeout, defaultRequestTimeout)
	fill(&c.ResignTimeout, defaultResignTimeout)
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if c.Clock == nil {
		c.Clock = leases.Boottime
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}

// settings are those of the table that the configuration names; zero values are those that it does not. A first pause
// beyond the default of the longest makes that as long.
func (c Config) settings() settings.Values {
	standard := settings.Defaults()
	if c.MaxAskRetry == 0 && c.AskRetry > standard.AskRetryMax {
		c.MaxAskRetry = c.AskRetry
	}
	if c.MaxOpenRetry == 0 && c.OpenRetry > standard.OpenRetryMax {
		c.MaxOpenRetry = c.OpenRetry
	}
	return settings.Values{
		OpenTimeout: c.OpenTimeout, CloseTimeout: c.CloseTimeout, Settle: c.Settle,
		AskRetry: c.AskRetry, AskRetryMax: c.MaxAskRetry, OpenRetry: c.OpenRetry, OpenRetryMax: c.MaxOpenRetry,
		InFlight: c.InFlight, DrainInFlight: c.DrainInFlight, ProgressInterval: c.ProgressEvery,
		HistoryAge: c.HistoryAge, HistoryCount: c.HistoryCount,
	}
}

// validate reports all problems at once.
func (c Config) validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if err := keys.CheckName("name", c.Name); err != nil {
		errs = append(errs, err)
	}
	if err := settings.CheckFlags(c.settings()); err != nil {
		errs = append(errs, err)
	}
	need(c.Layout != keys.Layout{}, "no layout")
	need(c.Listener != nil, "no listener")
	need(c.Advertise != "", "no address to advertise")
	need(c.Client != nil, "no etcd client")
	need(c.TTL >= minTTL && c.TTL%time.Second == 0, "session ttl %v: needs whole seconds, at least %v", c.TTL, minTTL)
	for _, d := range []struct {
		name    string
		value   time.Duration
		longest time.Duration
	}{
		{"standby interval", c.StandbyEvery, c.TTL},
		{"register timeout", c.RegisterTimeout, time.Minute},
		{"request timeout", c.RequestTimeout, time.Minute},
		{"resign timeout", c.ResignTimeout, time.Minute},
	} {
		need(d.value > 0 && d.value <= d.longest, "%s %v: needs more than 0 and at most %v", d.name, d.value, d.longest)
	}
	return errors.Join(errs...)
}
