package etcdtest

import (
	"time"

	"go.uber.org/zap"
)

// Option changes how a server runs.
type Option func(*settings)

// WithFsync makes every commit durable, as in production. Without it a test is several times faster.
func WithFsync() Option { return func(s *settings) { s.fsync = true } }

// WithTick sets etcd's heartbeat interval, 100 ms if not given; ten of them make its election timeout. Leases are
// checked twice a second however short it is.
func WithTick(d time.Duration) Option { return func(s *settings) { s.tick = d } }

// WithSnapshotCount sets after how many entries etcd writes a snapshot and drops its log.
func WithSnapshotCount(n uint64) Option { return func(s *settings) { s.snapshots = n } }

// WithQuota sets the size in bytes at which etcd refuses to grow.
func WithQuota(bytes int64) Option { return func(s *settings) { s.quota = bytes } }

// WithProgressInterval sets how often an idle watch that asked for it is told the revision, ten minutes if not given.
// etcd keeps this in a variable of the process: it holds for servers started later, too.
func WithProgressInterval(d time.Duration) Option { return func(s *settings) { s.progress = d } }

// WithTLS makes the server speak TLS and demand a client certificate. See [Server.Files]. Not for a bubble.
func WithTLS() Option { return func(s *settings) { s.tls = true } }

// WithAuth switches accounts on once the server runs, with a user root and this user, who may do everything, too. Clients
// of the server log in as it. Not for a bubble.
func WithAuth(name, password string) Option {
	return func(s *settings) { s.users = append(s.users, user{name, password}) }
}

// WithLogger lets etcd log. Without it etcd is silent.
func WithLogger(l *zap.Logger) Option { return func(s *settings) { s.log = l } }
