package mirror

import (
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

// Auth says how to trust an etcd and be trusted by it. Empty fields are not used.
type Auth struct {
	CACert, Cert, Key  string // files
	User, PasswordFile string
}

// Etcd is an etcd to connect to.
type Etcd struct {
	// Setting is what users call it: source or dest.
	Setting string
	// Endpoints are as they were typed, sorted.
	Endpoints []string
	Auth
}

// settings are the parsed settings of a keyspace.
type settings struct {
	source, dest Etcd
	dir          string // file destination; "" if it is an etcd
	mapping      mapping
	leases       bool
	load         measure
	compact      time.Duration
}

// known are the settings there are, and what each is good for.
var known = []string{
	"source", "dest", "source-prefix", "dest-prefix", "leases", "dest-compact", "load",
	"source-cacert", "source-cert", "source-key", "source-user", "source-password-file",
	"dest-cacert", "dest-cert", "dest-key", "dest-user", "dest-password-file",
}

// minCompact keeps a mistyped dest-compact from compacting away what a watcher of the destination still needs.
const minCompact = time.Second

// Validate checks the settings of a keyspace, and that they make sense for its ranges. Ranges are those of keys as they
// are at the source. With a source-prefix, keys of a range that do not have it are ignored; a range without any key
// that has it is refused, because nothing would ever be mirrored in it.
func Validate(set map[string]string, ranges []span.Range) error {
	s, err := parse(set, Auth{}, Auth{})
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if _, ok := s.mapping.clip(r); !ok {
			return fault.New(fault.InvalidRange, "no key in it has the source-prefix %s", span.EscapeKey(s.mapping.strip)).
				On("range", r.String()).Fix("give ranges of keys as they are at the source, prefix included")
		}
	}
	if s.dir == "" && shareEndpoint(s.source.Endpoints, s.dest.Endpoints) {
		return s.mapping.disjoint(ranges, ranges)
	}
	return nil
}

// disjoint refuses to mirror within one etcd if a key that is written is also read.
func (m mapping) disjoint(sources, dests []span.Range) error {
	for _, src := range sources {
		for _, dst := range dests {
			from, ok1 := m.clip(src)
			to, ok2 := m.clip(dst)
			if !ok1 || !ok2 {
				continue
			}
			if both, ok := from.Intersect(m.dest(to)); ok {
				return fault.New(fault.RangeOverlap, "source and destination are one etcd, and %s is both read and written", both).
					On("range", src.String()).Fix("choose a dest-prefix outside of every range, or another destination")
			}
		}
	}
	return nil
}

// parse reads the settings of a keyspace; what they do not say about access comes from the process.
func parse(set map[string]string, source, dest Auth) (settings, error) {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !slices.Contains(known, name) {
			return settings{}, invalid(name, set[name], "is not a setting of mirror").Fix("use %s", strings.Join(known, ", "))
		}
	}
	s := settings{source: Etcd{Setting: "source", Auth: access(set, "source-", source)}, dest: Etcd{Setting: "dest", Auth: access(set, "dest-", dest)}}
	var err error
	if s.source.Endpoints, err = endpoints("source", set["source"]); err != nil {
		return s, err
	}
	if dir, ok := strings.CutPrefix(set["dest"], "file:"); ok {
		s.dir = filepath.Clean(dir)
		if dir == "" || !filepath.IsAbs(dir) {
			return s, invalid("dest", set["dest"], "names no absolute directory").Fix("write file:/some/dir; every node sees it under that path")
		}
	} else if s.dest.Endpoints, err = endpoints("dest", set["dest"]); err != nil {
		return s, err
	}
	return s, s.options(set)
}

func (s *settings) options(set map[string]string) (err error) {
	if s.mapping.strip, err = prefix(set, "source-prefix"); err != nil {
		return err
	}
	if s.mapping.prepend, err = prefix(set, "dest-prefix"); err != nil {
		return err
	}
	if overlapsOwn(s.mapping.prepend) {
		return invalid("dest-prefix", set["dest-prefix"], "is where mirrors keep their own keys").Fix("choose another prefix")
	}
	if s.load, err = loadMeasure(set["load"]); err != nil {
		return err
	}
	switch set["leases"] {
	case "", "drop":
	case "copy":
		if s.leases = true; s.dir != "" {
			return invalid("leases", "copy", "has no meaning for files").Fix("leave it out")
		}
	default:
		return invalid("leases", set["leases"], "is neither drop nor copy").Fix("use drop or copy")
	}
	return s.compaction(set["dest-compact"])
}

// loadMeasure is what the load of a span counts.
func loadMeasure(text string) (measure, error) {
	switch text {
	case "", "writes":
		return byWrites, nil
	case "bytes":
		return byBytes, nil
	}
	return measure{}, invalid("load", text, "is neither writes nor bytes").Fix("use writes for changes a second, bytes for bytes of keys and values changed a second")
}

func (s *settings) compaction(text string) (err error) {
	if text == "" {
		return nil
	}
	if s.compact, err = time.ParseDuration(text); err != nil || s.compact < minCompact {
		return invalid("dest-compact", text, "is not a duration of at least %v", minCompact).Fix("write for example 10m, or leave it out")
	}
	if s.dir != "" {
		return invalid("dest-compact", text, "has no meaning for files").Fix("leave it out")
	}
	return nil
}

func overlapsOwn(p string) bool { return strings.HasPrefix(p, ownPrefix) }

func prefix(set map[string]string, name string) (string, error) {
	p, err := span.ParseKey(set[name])
	return p, fault.ForField(err, name)
}

func access(set map[string]string, prefix string, def Auth) Auth {
	pick := func(name, def string) string {
		if v, ok := set[prefix+name]; ok {
			return v
		}
		return def
	}
	return Auth{
		CACert: pick("cacert", def.CACert), Cert: pick("cert", def.Cert), Key: pick("key", def.Key),
		User: pick("user", def.User), PasswordFile: pick("password-file", def.PasswordFile),
	}
}

// endpoints reads a comma separated list of URLs.
func endpoints(field, text string) ([]string, error) {
	if text == "" {
		return nil, invalid(field, "", "is not set").Fix("give the URLs of an etcd, for example %s=http://127.0.0.1:2379", field)
	}
	var out []string
	for e := range strings.SplitSeq(text, ",") {
		e = strings.TrimSuffix(strings.TrimSpace(e), "/")
		if !isEndpoint(e) {
			return nil, invalid(field, text, "has something that is not the address of an etcd").
				Fix("write http://HOST:PORT or https://HOST:PORT, separated by commas")
		}
		out = append(out, e)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func isEndpoint(e string) bool {
	scheme, host, ok := strings.Cut(e, "://")
	if !ok {
		scheme, host = "http", e
	}
	name, port, err := net.SplitHostPort(host)
	_, bad := strconv.ParseUint(port, 10, 16)
	return (scheme == "http" || scheme == "https") && err == nil && name != "" && bad == nil && !strings.ContainsAny(host, "/?#@ ")
}

// shareEndpoint compares host and port: http and https of one port are one server.
func shareEndpoint(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return hostPort(x) == hostPort(y) })
	})
}

func hostPort(e string) string {
	if _, after, ok := strings.Cut(e, "://"); ok {
		e = after
	}
	return strings.Replace(strings.ToLower(e), "localhost:", "127.0.0.1:", 1)
}

func invalid(field, value, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidArgument, format, args...).On(field, value)
}
