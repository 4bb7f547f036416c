package view

import (
	"fmt"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
)

func (s *State) putLeader(_ keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeLeader(c.Value)
	if err != nil {
		return err
	}
	s.leader = &Leader{Leader: r, Term: c.Mod, LeaseID: c.Lease}
	d.Leader = true
	return nil
}

func (s *State) dropLeader(_ keys.Parsed, d *Dirty) {
	s.leader = nil
	d.Leader = true
}

func (s *State) putCluster(_ keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeCluster(c.Value)
	if err != nil {
		return err
	}
	s.cluster = Cluster{r, c.Mod}
	d.Cluster = true
	return nil
}

func (s *State) dropCluster(_ keys.Parsed, d *Dirty) {
	s.cluster = Cluster{}
	d.Cluster = true
}

func (s *State) putClusterConfig(_ keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeConfig(c.Value)
	if err != nil {
		return err
	}
	s.forget(c.Key, s.config.Requests...)
	s.config = &ClusterConfig{r, c.Mod}
	s.remember(c.Key, "", r.Requests...)
	d.Config = true
	return nil
}

func (s *State) dropClusterConfig(_ keys.Parsed, d *Dirty) {
	s.forget(s.layout.Config(), s.config.Requests...)
	s.config = &ClusterConfig{}
	d.Config = true
}

func (s *State) putMaintainer(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeMaintainer(c.Value)
	if err != nil {
		return err
	}
	if r.Name != p.Name {
		return misplaced("maintainer", r.Name)
	}
	s.maintainers[s.name(p.Name)] = &Maintainer{Maintainer: r, Session: c.Create, Mod: c.Mod, LeaseID: c.Lease}
	d.Maintainers = true
	return nil
}

func (s *State) dropMaintainer(p keys.Parsed, d *Dirty) {
	delete(s.maintainers, p.Name)
	d.Maintainers = true
}

// putNode also ends the session before, if the key was made anew: after a listing nobody has seen it being deleted.
func (s *State) putNode(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeNode(c.Value)
	if err != nil {
		return err
	}
	if r.Name != p.Name {
		return misplaced("node", r.Name)
	}
	if old := s.nodes[p.Name]; old != nil && old.Session != c.Create {
		s.dropNode(p, d)
	}
	n := &Node{Node: r, Session: c.Create, Mod: c.Mod, LeaseID: c.Lease}
	s.nodes[s.name(p.Name)] = n
	s.sessions[n.Session] = n
	d.node(p.Name)
	return nil
}

// dropNode is also what garbage in the place of a node does. The session is then over for all that decide by this
// state, although its lease may live: to go on as if nothing had happened would mean to trust a record that
// nobody can read.
func (s *State) dropNode(p keys.Parsed, d *Dirty) {
	n := s.nodes[p.Name]
	if n == nil {
		return
	}
	delete(s.nodes, p.Name)
	delete(s.sessions, n.Session)
	d.node(p.Name)
	d.Gone = append(d.Gone, n)
}

func (s *State) putConfig(p keys.Parsed, c *Change, d *Dirty) error {
	r, err := record.DecodeNodeConfig(c.Value)
	if err != nil {
		return err
	}
	s.dropConfig(p, d)
	s.configs[s.name(p.Name)] = &NodeConfig{NodeConfig: r, Name: s.name(p.Name), Mod: c.Mod}
	s.remember(c.Key, "", r.Requests...)
	d.node(p.Name)
	return nil
}

func (s *State) dropConfig(p keys.Parsed, d *Dirty) {
	old := s.configs[p.Name]
	if old == nil {
		return
	}
	s.forget(s.layout.NodeConfig(p.Name), old.Requests...)
	delete(s.configs, p.Name)
	d.node(p.Name)
}

func misplaced(kind, name string) error {
	return fmt.Errorf("the record of %s %q is under another name", kind, name)
}
