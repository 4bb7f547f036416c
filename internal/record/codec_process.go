package record

import (
	"time"

	storev1 "github.com/spanward/spanward/api/store/v1"
)

// EncodeCluster is the stored form of c.
func EncodeCluster(c Cluster) []byte { return encode(&storev1.Cluster{Generation: c.Generation}) }

// DecodeCluster is the inverse of EncodeCluster. The generation 0 is an empty value, hence nothing to refuse.
func DecodeCluster(b []byte) (Cluster, error) {
	var m storev1.Cluster
	if err := decode(b, &m); err != nil {
		return Cluster{}, err
	}
	return Cluster{Generation: m.GetGeneration()}, nil
}

// EncodeConfig is the stored form of c.
func EncodeConfig(c Config) []byte {
	return encode(&storev1.Config{Settings: textMap(c.Settings), Requests: each(c.Requests, encodeRequest)})
}

// DecodeConfig is the inverse of EncodeConfig. An empty value is a cluster that nobody has configured. What the values mean
// is not looked at: one that makes no sense must not take the others with it.
func DecodeConfig(b []byte) (Config, error) {
	var m storev1.Config
	if err := decode(b, &m); err != nil {
		return Config{}, err
	}
	if err := checkRequests(m.GetRequests()); err != nil {
		return Config{}, err
	}
	return Config{Settings: nonEmpty(m.GetSettings()), Requests: each(m.GetRequests(), decodeRequest)}, nil
}

// EncodeLeader is the stored form of l.
func EncodeLeader(l Leader) []byte {
	return encode(&storev1.Leader{
		Maintainer: text(l.Maintainer), Instance: text(l.Instance), Address: text(l.Address),
		Resigned: l.Resigned, Successor: text(l.Successor),
	})
}

// DecodeLeader is the inverse of EncodeLeader. A seat that is taken names who sits there.
func DecodeLeader(b []byte) (Leader, error) {
	var m storev1.Leader
	if err := decode(b, &m); err != nil {
		return Leader{}, err
	}
	if !m.GetResigned() {
		if err := checkProcess("leader", m.GetMaintainer(), m.GetInstance()); err != nil {
			return Leader{}, err
		}
	}
	if err := firstError(checkOptionalName("leader", m.GetMaintainer()), checkOptionalName("successor", m.GetSuccessor())); err != nil {
		return Leader{}, err
	}
	return Leader{
		Maintainer: m.GetMaintainer(), Instance: m.GetInstance(), Address: m.GetAddress(),
		Resigned: m.GetResigned(), Successor: m.GetSuccessor(),
	}, nil
}

// EncodeMaintainer is the stored form of r.
func EncodeMaintainer(r Maintainer) []byte {
	return encode(&storev1.Maintainer{
		Name: text(r.Name), Instance: text(r.Instance), Address: text(r.Address), Version: text(r.Version),
		StartedAt: nanos(r.StartedAt), Draining: r.Draining,
	})
}

// DecodeMaintainer is the inverse of EncodeMaintainer.
func DecodeMaintainer(b []byte) (Maintainer, error) {
	var m storev1.Maintainer
	if err := decode(b, &m); err != nil {
		return Maintainer{}, err
	}
	if err := checkProcess("maintainer", m.GetName(), m.GetInstance()); err != nil {
		return Maintainer{}, err
	}
	return Maintainer{
		Name: m.GetName(), Instance: m.GetInstance(), Address: m.GetAddress(), Version: m.GetVersion(),
		StartedAt: moment(m.GetStartedAt()), Draining: m.GetDraining(),
	}, nil
}

// EncodeNode is the stored form of n.
func EncodeNode(n Node) []byte {
	return encode(&storev1.Node{
		Name: text(n.Name), Instance: text(n.Instance), Address: text(n.Address), Version: text(n.Version),
		Labels: textMap(n.Labels), Capacity: n.Capacity, Workloads: texts(n.Workloads),
		TtlMs: n.TTL.Milliseconds(), StartedAt: nanos(n.StartedAt), Ended: n.Ended, Lease: n.Lease,
	})
}

// DecodeNode is the inverse of EncodeNode. A node without a TTL is refused: the leader could not tell how long the
// node may still act once its session is gone.
func DecodeNode(b []byte) (Node, error) {
	var m storev1.Node
	if err := decode(b, &m); err != nil {
		return Node{}, err
	}
	if err := checkNode(&m); err != nil {
		return Node{}, err
	}
	return Node{
		Name: m.GetName(), Instance: m.GetInstance(), Address: m.GetAddress(), Version: m.GetVersion(),
		Labels: nonEmpty(m.GetLabels()), Capacity: m.GetCapacity(), Workloads: texts(m.GetWorkloads()),
		TTL: time.Duration(m.GetTtlMs()) * time.Millisecond, StartedAt: moment(m.GetStartedAt()),
		Ended: m.GetEnded(), Lease: m.GetLease(),
	}, nil
}

// maxTTLMS keeps a TTL in milliseconds from overflowing a Duration; etcd's own limit is below it.
const maxTTLMS = 9_000_000_000_000

func checkNode(m *storev1.Node) error {
	_, known := storev1.Node_Ended_name[int32(m.GetEnded())]
	switch {
	case m.GetTtlMs() <= 0 || m.GetTtlMs() > maxTTLMS:
		return invalid("node with a TTL of %d ms", m.GetTtlMs())
	case m.GetCapacity() < 0:
		return invalid("node with capacity %d", m.GetCapacity())
	case !known:
		return invalid("node ended in way %d", m.GetEnded())
	}
	return checkProcess("node", m.GetName(), m.GetInstance())
}

func checkProcess(field, name, instance string) error {
	if instance == "" {
		return invalid("%s %q without an instance", field, name)
	}
	return checkName(field, name)
}

// EncodeNodeConfig is the stored form of c.
func EncodeNodeConfig(c NodeConfig) []byte {
	return encode(&storev1.NodeConfig{
		Cordoned: c.Cordoned, Draining: c.Draining, Weight: c.Weight, Evicted: c.Evicted,
		DrainSession: c.DrainSession, Requests: each(c.Requests, encodeRequest),
	})
}

// DecodeNodeConfig is the inverse of EncodeNodeConfig. An empty value is a node that was never configured.
func DecodeNodeConfig(b []byte) (NodeConfig, error) {
	var m storev1.NodeConfig
	if err := decode(b, &m); err != nil {
		return NodeConfig{}, err
	}
	if m.GetEvicted() < 0 || m.GetDrainSession() < 0 {
		return NodeConfig{}, invalid("evicted session %d, drained session %d", m.GetEvicted(), m.GetDrainSession())
	}
	if err := firstError(checkWeight(m.GetWeight()), checkRequests(m.GetRequests())); err != nil {
		return NodeConfig{}, err
	}
	return NodeConfig{
		Cordoned: m.GetCordoned(), Draining: m.GetDraining(), Weight: m.GetWeight(), Evicted: m.GetEvicted(),
		DrainSession: m.GetDrainSession(), Requests: each(m.GetRequests(), decodeRequest),
	}, nil
}
