package maintainer

import (
	"context"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/view"
)

const (
	// configLock is held by changes of the cluster's settings.
	configLock = "config"
	// keptConfigRequests bounds the request ids that the record of settings remembers.
	keptConfigRequests = 1000
)

// getConfig shows what the leader works with. Flags are its own: another leader may have others.
func (c *control) getConfig(_ context.Context, _ *term, q *controlv1.GetConfigRequest) (*controlv1.GetConfigResponse, error) {
	cfg, err := c.renderedConfig(q.GetKeyspace())
	return &controlv1.GetConfigResponse{Config: cfg}, err
}

// setConfig changes all of the named settings or none.
func (c *control) setConfig(ctx context.Context, t *term, q *controlv1.SetConfigRequest) (*controlv1.SetConfigResponse, error) {
	lock, decide := configLock, c.planConfig
	if q.GetKeyspace() != "" {
		lock = keyspaceLock(q.GetKeyspace())
		decide = func(s *view.State, who asker, q *controlv1.SetConfigRequest) (plan, error) {
			return c.planKeyspaceConfig(s, t, who, q)
		}
	}
	_, err := c.accept(ctx, t, "config", lock, q, once(func(s *view.State, who asker) (plan, error) {
		if len(q.GetSet()) == 0 {
			return plan{}, fault.New(fault.InvalidArgument, "is missing").On("set", "").Fix("name at least one setting, as key=value")
		}
		return decide(s, who, q)
	}))
	if err != nil {
		return nil, err
	}
	cfg, err := c.renderedConfig(q.GetKeyspace())
	return &controlv1.SetConfigResponse{Config: cfg}, err
}

// planConfig rewrites the cluster's record, which also remembers the request: there is no history of what concerns no
// keyspace.
func (c *control) planConfig(s *view.State, who asker, q *controlv1.SetConfigRequest) (plan, error) {
	if bad := quarantined(s, func(p keys.Parsed) bool { return p.Kind == keys.Config }); bad != nil {
		return plan{}, unreadable("config", "", bad)
	}
	stored := s.ClusterConfig()
	if err := settings.Check(q.GetSet(), false, stored.Settings); err != nil {
		return plan{}, err
	}
	next := record.Config{Settings: settings.Changed(stored.Settings, q.GetSet())}
	if err := settings.CheckTogether(settings.Layers{Flags: c.tuning.flags, Cluster: next.Settings}); err != nil {
		return plan{}, err
	}
	next.Requests = c.keep(s).remembered(stored.Requests, who.request("", time.Now()), keptConfigRequests)
	return plan{parts: []txn.Part{operator.SetConfig(c.layout, stored.Mod, next)}}, nil
}

// planKeyspaceConfig rewrites the record of a keyspace, where its own settings are beside those of its workload.
func (c *control) planKeyspaceConfig(s *view.State, t *term, who asker, q *controlv1.SetConfigRequest) (plan, error) {
	ks, err := keyspaceNamed(s, "keyspace", q.GetKeyspace())
	if err != nil {
		return plan{}, err
	}
	if err := settings.Check(q.GetSet(), true, nil); err != nil {
		return plan{}, err
	}
	if err := checkState(ks, record.KeyspaceRunning, record.KeyspacePaused, record.KeyspaceDeleting); err != nil {
		return plan{}, err
	}
	next := ks.Keyspace
	next.Settings = settings.Changed(ks.Settings, q.GetSet())
	if err := checkNamed(s, ks.Settings, next.Settings); err != nil {
		return plan{}, err
	}
	return c.rewrite(s, t, who, ks, next, q.GetSet()), nil
}

func (c *control) renderedConfig(keyspace string) (cfg *controlv1.Config, err error) {
	c.view.Read(func(s *view.State) {
		l := c.tuning.layers(s.ClusterConfig())
		if keyspace != "" {
			var ks *view.Keyspace
			if ks, err = keyspaceNamed(s, "keyspace", keyspace); err != nil {
				return
			}
			l.Keyspace = ks.Settings
		}
		cfg = renderConfig(keyspace, l)
		cfg.Maintainer = c.name
	})
	return cfg, err
}

// renderConfig shows all settings of the cluster, or those of which a keyspace may have its own. Stored values that have no
// effect are among them, so that they can be found and taken away.
func renderConfig(keyspace string, l settings.Layers) *controlv1.Config {
	_, effective, ignored := settings.Resolve(l)
	cfg := &controlv1.Config{Keyspace: keyspace}
	rows := map[string]*controlv1.ConfigValue{}
	for _, e := range effective {
		if keyspace != "" && !e.OfKeyspace() || keyspace == "" && !e.OfCluster() {
			continue
		}
		row := &controlv1.ConfigValue{
			Key: e.Name, Value: e.Value, Origin: string(e.Origin), Default: e.Default, Unit: e.Unit, Least: e.Least, Most: e.Most,
			Scope: string(e.Scope), Help: e.Help,
		}
		rows[e.Name] = row
		cfg.Values = append(cfg.Values, row)
	}
	for _, i := range ignored {
		_, known := settings.Find(i.Name)
		switch row := rows[i.Name]; {
		case row != nil:
			row.Problem = "the stored value " + i.Value + " " + i.Why
		case !known && keyspace == "":
			cfg.Values = append(cfg.Values, &controlv1.ConfigValue{
				Key: i.Name, Value: i.Value, Origin: string(settings.FromCluster), Problem: i.Why,
			})
		}
	}
	return cfg
}
