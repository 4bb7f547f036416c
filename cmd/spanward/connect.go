package main

import (
	"context"
	"strings"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/client"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/keys"
)

const defaultCluster = "default"

// clusterFlags say which cluster is meant and how to reach it.
type clusterFlags struct {
	name string
	etcd etcdFlags
	tls  tlsFlags
}

func (f *clusterFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.name, "cluster", defaultCluster, "name of the cluster")
	flags.StringVar(&f.etcd.endpoints, "etcd", "http://127.0.0.1:2379", "endpoints of etcd, separated by commas")
	fromEnv(flags, "etcd")
	f.etcd.register(flags, "etcd")
	flags.StringVar(&f.tls.ca, "tls-ca", "", "file with the CA of the maintainers: connect to them with TLS")
	flags.StringVar(&f.tls.cert, "tls-cert", "", "file with the own certificate, as a server and to maintainers")
	flags.StringVar(&f.tls.key, "tls-key", "", "file with its key")
	fromEnv(flags, "cluster", "tls-ca", "tls-cert", "tls-key")
}

func (f *clusterFlags) layout() (keys.Layout, error) {
	layout, err := keys.New(f.name)
	return layout, fault.ForField(err, "--cluster")
}

// etcdFlags say how to reach an etcd.
type etcdFlags struct {
	endpoints          string
	cacert, cert, key  string
	user, passwordFile string
}

// register adds the flags that say how to be trusted by an etcd: the cluster's own, or a mirror's source or dest.
func (f *etcdFlags) register(flags *pflag.FlagSet, which string) {
	p, what := which+"-", "etcd"
	if which != "etcd" {
		what = "the mirror's " + which
	}
	flags.StringVar(&f.cacert, p+"cacert", "", "file with the CA of "+what)
	flags.StringVar(&f.cert, p+"cert", "", "file with the certificate for "+what)
	flags.StringVar(&f.key, p+"key", "", "file with its key")
	flags.StringVar(&f.user, p+"user", "", "user for "+what)
	flags.StringVar(&f.passwordFile, p+"password-file", "", "file with the password of the user")
	fromEnv(flags, p+"cacert", p+"cert", p+"key", p+"user", p+"password-file")
}

// addresses are the endpoints, one by one.
func (f *etcdFlags) addresses() []string {
	var out []string
	for e := range strings.SplitSeq(f.endpoints, ",") {
		if e = strings.TrimSpace(e); e != "" {
			out = append(out, e)
		}
	}
	return out
}

// connect gives a client of an etcd that answers, is new enough and lets this user in.
func (f *etcdFlags) connect(ctx context.Context, log *zap.Logger) (*clientv3.Client, error) {
	return etcdx.Connect(ctx, etcdx.Config{
		Endpoints: f.addresses(), CACert: f.cacert, Cert: f.cert, Key: f.key, User: f.user, PasswordFile: f.passwordFile, Logger: log,
	})
}

// cluster is a connection to the control API.
type cluster struct {
	*client.Client
	etcd   *clientv3.Client // nil in tests
	layout keys.Layout
}

func (c *cluster) close() {
	_ = c.Close() // nothing is in flight any more
	if c.etcd != nil {
		_ = c.etcd.Close()
	}
}

// connect finds the maintainers through etcd.
func connect(ctx context.Context, a *app) (*cluster, error) {
	layout, err := a.cluster.layout()
	if err != nil {
		return nil, err
	}
	secure, err := a.cluster.tls.client()
	if err != nil {
		return nil, err
	}
	etcd, err := a.cluster.etcd.connect(ctx, zap.NewNop())
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{Cluster: a.cluster.name, Find: client.FromEtcd(etcd, layout), TLS: secure})
	if err != nil {
		_ = etcd.Close()
		return nil, err
	}
	return &cluster{Client: c, etcd: etcd, layout: layout}, nil
}
