package main

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/fault"
)

// connect gives a client of etcd.
func (f *etcdFlags) connect(ctx context.Context, log *zap.Logger) (*clientv3.Client, error) {
	cfg := clientv3.Config{Endpoints: f.addresses(), Username: f.user, DialTimeout: 3 * time.Second, Logger: zap.NewNop(), DialOptions: etcdx.DialOptions()}
	log.Debug("connecting")
	c, err := clientv3.New(cfg)
	if err != nil {
		return nil, fault.New(fault.EtcdUnreachable, "%s", err).On("--etcd", f.endpoints)
	}
	return c, nil
}
