package mirror

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/etcdx"
)

// connect makes a client, once the etcd has answered and shown to be new enough.
func connect(ctx context.Context, e Etcd) (*clientv3.Client, error) {
	return etcdx.Connect(ctx, etcdx.Config{
		Endpoints: e.Endpoints, CACert: e.CACert, Cert: e.Cert, Key: e.Key, User: e.User, PasswordFile: e.PasswordFile, Flag: e.Setting,
	})
}
