package keys

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spanward/spanward/span"
)

// ErrForeign reports a key that this layout did not make.
var ErrForeign = errors.New("key outside the layout")

// Kind tells the records apart.
type Kind int

// One kind for each builder of a key.
const (
	Leader Kind = iota + 1
	Cluster
	Config
	Maintainer
	Node
	NodeConfig
	Keyspace
	Span
	Operator
	Progress
	History
)

var kindNames = [...]string{
	Leader: "leader", Cluster: "cluster", Config: "config", Maintainer: "maintainer", Node: "node", NodeConfig: "nodeconfig",
	Keyspace: "keyspace", Span: "span", Operator: "operator", Progress: "progress", History: "history",
}

func (k Kind) String() string {
	if k >= Leader && k <= History {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Parsed is what a key says. Fields that its kind has no use for are zero.
type Parsed struct {
	Kind Kind
	// Name is the maintainer or node of the key.
	Name string
	// Keyspace is set for all that belongs to one, its own record included.
	Keyspace string
	// Span is the id of a span record or a claim.
	Span span.ID
	// Bucket numbers a progress record.
	Bucket uint32
	// Operator is the id of a history record.
	Operator string
}

// shapes says what follows the first part of a key.
var shapes = map[string]func(rest string) (Parsed, bool){
	maintainers: ofName(Maintainer),
	nodes:       ofName(Node),
	nodeConfigs: ofName(NodeConfig),
	keyspaces: func(rest string) (Parsed, bool) {
		return Parsed{Kind: Keyspace, Keyspace: rest}, ValidName(rest)
	},
	spans: inKeyspace(func(ks, rest string) (Parsed, bool) {
		return Parsed{Kind: Span, Keyspace: ks, Span: span.ID(rest)}, ValidName(rest)
	}),
	operators: inKeyspace(func(ks, rest string) (Parsed, bool) {
		return Parsed{Kind: Operator, Keyspace: ks, Span: span.ID(rest)}, ValidName(rest)
	}),
	progress: inKeyspace(func(ks, rest string) (Parsed, bool) {
		bucket, err := strconv.ParseUint(rest, 16, 32)
		// One spelling only: no capitals, signs or needless zeros.
		return Parsed{Kind: Progress, Keyspace: ks, Bucket: uint32(bucket)}, err == nil && rest == fmt.Sprintf("%03x", bucket)
	}),
	history: inKeyspace(func(ks, rest string) (Parsed, bool) {
		return Parsed{Kind: History, Keyspace: ks, Operator: rest}, ValidName(rest)
	}),
}

func ofName(kind Kind) func(string) (Parsed, bool) {
	return func(rest string) (Parsed, bool) { return Parsed{Kind: kind, Name: rest}, ValidName(rest) }
}

func inKeyspace(parse func(ks, rest string) (Parsed, bool)) func(string) (Parsed, bool) {
	return func(rest string) (Parsed, bool) {
		ks, rest, ok := strings.Cut(rest, "/")
		if !ok || !ValidName(ks) {
			return Parsed{}, false
		}
		return parse(ks, rest)
	}
}

// Parse is the inverse of all builders of keys. Prefixes are not keys.
func (l Layout) Parse(key string) (Parsed, error) {
	if rest, ok := strings.CutPrefix(key, l.root); ok && l.root != "" {
		if p, ok := parse(rest); ok {
			return p, nil
		}
	}
	return Parsed{}, fmt.Errorf("%w: %q", ErrForeign, key)
}

func parse(rest string) (Parsed, bool) {
	switch rest {
	case leader:
		return Parsed{Kind: Leader}, true
	case cluster:
		return Parsed{Kind: Cluster}, true
	case config:
		return Parsed{Kind: Config}, true
	}
	slash := strings.IndexByte(rest, '/') + 1
	if shape, ok := shapes[rest[:slash]]; ok {
		return shape(rest[slash:])
	}
	return Parsed{}, false
}
