package sim

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/keys"
)

// Parse reads a scenario. What is wrong with it is an error that names the field, the value and what to do.
func Parse(text []byte) (*Scenario, error) {
	r := &reader{}
	f := document(r, text).mapping("name", "seed", "duration", "tick", "sample", "report", "settings", "nodes", "keyspaces", "costs", "events")
	sc := &Scenario{
		Seed:     uint64(f.count("seed", 1, 0, 1<<53)), //nolint:gosec // not negative
		Duration: f.need("duration", "1h").duration(time.Millisecond, maxDuration),
		Tick:     f.duration("tick", time.Second, time.Millisecond, time.Hour),
		Report:   f.duration("report", 10*time.Second, 100*time.Millisecond, time.Hour),
		Settings: f.textMap("settings"),
	}
	if v, ok := f.get("name"); ok {
		sc.Name = v.text("a node is lost")
	}
	sc.readSample(f)
	sc.readCosts(f)
	checkSettings(r, "settings", sc.Settings, nil)
	sc.readNodes(f)
	sc.readKeyspaces(f)
	sc.readEvents(f)
	if r.err != nil {
		return nil, r.err
	}
	return sc, nil
}

// samplesByDefault is how many there are if nothing else is said.
const samplesByDefault = 60

func (sc *Scenario) readSample(f fields) {
	sc.Sample = f.duration("sample", max(sc.Tick, sc.Duration/samplesByDefault), time.Millisecond, maxDuration)
	if sc.Sample > 0 && sc.Duration/sc.Sample > maxSamples {
		f.fail("sample", brief(sc.Sample), "makes more than %s samples in %s", grouped(maxSamples), brief(sc.Duration)).fix("measure less often")
	}
}

func (sc *Scenario) readCosts(f fields) {
	v, _ := f.get("costs")
	c := v.mapping("open", "close", "session-ttl", "failures", "refused")
	sc.Costs = Costs{
		Open:       c.duration("open", 200*time.Millisecond, time.Millisecond, time.Hour),
		Close:      c.duration("close", 200*time.Millisecond, time.Millisecond, time.Hour),
		SessionTTL: c.duration("session-ttl", 5*time.Second, time.Second, time.Hour),
		Failures:   c.number("failures", 0, 0, 1),
		Refused:    c.number("refused", 0, 0, 1),
	}
}

// checkSettings refuses settings of the cluster, or those of a keyspace within it. One that would do nothing here is
// refused as well, if it says how something is measured that is not there.
func checkSettings(r *reader, at string, cluster, keyspace map[string]string) {
	set, own := cluster, keyspace != nil
	if own {
		set = keyspace
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] == "" {
			r.fail(at+"."+name, "", "is empty").fix("leave it out")
			continue
		}
		if f, bad := fault.As(settings.Check(map[string]string{name: set[name]}, own, nil)); bad {
			if f.Field == "key" { // the name is what is wrong
				r.fail(at+"."+name, "", "%s", f.Message).fix("%s", f.Remedy)
			} else {
				r.fail(at+"."+name, set[name], "%s", f.Message).fix("%s", f.Remedy)
			}
		}
	}
	layers := settings.Layers{Cluster: cluster, Keyspace: keyspace}
	if f, bad := fault.As(settings.CheckTogether(layers)); bad {
		r.fail(at+"."+f.Field, f.Value, "%s", f.Message).fix("%s", f.Remedy)
	}
	v, _, _ := settings.Resolve(layers)
	if v.LoadMeasure == settings.MeasureLag {
		r.fail(at+".load.measure", v.LoadMeasure, "is not simulated").fix("use load, size or none")
	}
}

func (sc *Scenario) readNodes(f fields) {
	var total int
	for _, v := range f.list("nodes") {
		g := readGroup(v)
		total += g.Count
		sc.Nodes = append(sc.Nodes, g)
	}
	if len(sc.Nodes) == 0 {
		f.fail("nodes", "", "is missing or empty").fix("write for example nodes: [{count: 3}]")
	}
	if total > maxNodes {
		f.fail("nodes", strconv.Itoa(total), "are more than %s nodes", grouped(maxNodes)).fix("simulate fewer")
		sc.Nodes = nil
	}
}

func readGroup(v value) Group {
	f := v.mapping("count", "name", "labels", "capacity", "weight")
	g := Group{
		Count: f.count("count", 1, 1, maxNodes), Name: "n", Labels: f.textMap("labels"),
		Capacity: f.count("capacity", 0, 0, maxSpans), Weight: f.number("weight", 1, 0.001, 1000),
	}
	if n, ok := f.get("name"); ok {
		g.Name = n.name("n")
	}
	return g
}

// name is a text that can be a name, and the beginning of one.
func (v value) name(example string) string {
	s := v.text(example)
	if f, bad := fault.As(keys.CheckName(v.at, s)); bad {
		v.fail(v.at, s, "%s", f.Message).fix("%s", f.Remedy)
	}
	return s
}

func (sc *Scenario) readKeyspaces(f fields) {
	total, seen := 0, map[string]bool{}
	list := f.list("keyspaces")
	for _, v := range list {
		ks := sc.readKeyspace(v)
		if seen[ks.Name] {
			v.fail(v.path("name"), ks.Name, "is there twice").fix("give each keyspace its own name")
		}
		seen[ks.Name] = true
		total += ks.Spans
		sc.Keyspaces = append(sc.Keyspaces, ks)
	}
	if len(list) == 0 {
		f.fail("keyspaces", "", "is missing or empty").fix("write for example keyspaces: [{name: orders, spans: 100}]")
	}
	if len(list) > maxKeyspaces {
		f.fail("keyspaces", strconv.Itoa(len(list)), "are more than %s", grouped(maxKeyspaces)).fix("simulate fewer")
	}
	if total > maxSpans {
		f.fail("keyspaces", strconv.Itoa(total), "are more than %s spans together", grouped(maxSpans)).fix("simulate fewer")
	}
}

func (sc *Scenario) readKeyspace(v value) Keyspace {
	f := v.mapping("name", "spans", "created", "settings", "load", "size")
	f.need("spans", "100")
	ks := Keyspace{
		Name: f.need("name", "orders").name("orders"), Spans: f.count("spans", 1, 1, maxSpans),
		Created:  f.duration("created", 0, 0, maxDuration),
		Settings: f.textMap("settings"),
	}
	checkSettings(v.reader, f.path("settings"), sc.Settings, ks.Settings)
	load, _ := f.get("load")
	ks.Load = readLoad(load.mapping(loadFields...))
	size, _ := f.get("size")
	ks.Size = readAmount(size.mapping(amountFields...))
	return ks
}

var (
	amountFields = []string{"mean", "among", "exponent"}
	loadFields   = append(amountFields[:len(amountFields):len(amountFields)], "curve", "period", "low", "high", "changing", "by")
)

func readAmount(f fields) Amount {
	a := Amount{
		Mean: f.number("mean", 0, 0, maxNumber), Among: word(f, "among", AmongEqual, AmongUniform, AmongZipf),
		Exponent: f.number("exponent", 1, 0.01, 10),
	}
	f.only("exponent", a.Among == AmongZipf, "among: zipf")
	return a
}

func readLoad(f fields) Load {
	l := Load{
		Amount: readAmount(f), Curve: word(f, "curve", CurveSteady, CurveSquare, CurveSine),
		Low: f.number("low", 0.5, 0, 1000), High: f.number("high", 1.5, 0, 1000),
		Changing: f.number("changing", 0, 0, 1), By: f.number("by", 0.5, 0, 10),
	}
	l.Period = f.duration("period", map[Curve]time.Duration{CurveSine: 24 * time.Hour}[l.Curve], time.Second, maxDuration)
	for _, name := range []string{"period", "low", "high"} {
		f.only(name, l.Curve != CurveSteady, "curve: square or curve: sine")
	}
	if l.Curve == CurveSquare {
		f.need("period", "10m")
	}
	f.only("by", l.Changing > 0, "changing")
	if l.Low > l.High {
		f.fail(f.path("low"), short(l.Low), "is more than high, which is %s", short(l.High)).fix("set both")
	}
	return l
}

// only refuses a field that would do nothing without another one.
func (f fields) only(name string, counts bool, with string) {
	if v, ok := f.get(name); ok && !counts {
		f.fail(f.path(name), v.shown(), "counts only together with %s", with).fix("add that, or leave this out")
	}
}
