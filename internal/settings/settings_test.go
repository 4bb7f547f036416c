package settings_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/settings"
)

// The table is written by hand: names once, help of one line, and defaults, bounds and pairs that fit each other.
func TestTheTableIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range settings.All() {
		if seen[s.Name] || s.Help == "" || strings.Contains(s.Help, "\n") {
			t.Errorf("row %q: twice, or help %q", s.Name, s.Help)
		}
		seen[s.Name] = true
		if s.Unit == "rule" {
			continue // which other tests look at
		}
		for _, text := range []string{s.Default, s.Least, s.Most} {
			if err := settings.Check(map[string]string{s.Name: text}, false, nil); err != nil {
				t.Errorf("%s does not take its own %s: %v", s.Name, text, err)
			}
			v, effective, ignored := settings.Resolve(settings.Layers{Cluster: map[string]string{s.Name: text}})
			if len(ignored) > 0 {
				t.Errorf("%v", ignored)
			}
			for _, e := range effective {
				if e.Name == s.Name && (e.Value != text || e.Origin != settings.FromCluster) {
					t.Errorf("%s=%s came out as %+v", s.Name, text, e)
				}
				if e.Name != s.Name && e.Origin != settings.FromDefault {
					t.Errorf("%s touches %s", s.Name, e.Name)
				}
			}
			if text != s.Default && v == settings.Defaults() {
				t.Errorf("%s=%s changes nothing", s.Name, text)
			}
		}
	}
	if err := settings.CheckTogether(settings.Layers{}); err != nil {
		t.Errorf("the defaults contradict each other: %v", err)
	}
	if d := settings.Defaults(); d.OpenTimeout != time.Minute || d.MassLossShare != 0.5 || d.InFlight != 512 {
		t.Errorf("%+v", d)
	}
}

// The keyspace goes before the cluster's record, that before the flags of whoever leads, and those before the default.
func TestTheLastLayerWins(t *testing.T) {
	for _, tt := range []struct {
		name              string
		flag              time.Duration
		cluster, keyspace string
		want, origin      string
	}{
		{"nothing", 0, "", "", "1m", "default"},
		{"a flag", 2 * time.Minute, "", "", "2m", "flag"},
		{"the record", 2 * time.Minute, "3m", "", "3m", "cluster"},
		{"the keyspace", 2 * time.Minute, "3m", "4m30s", "4m30s", "keyspace"},
		{"a record of nonsense", 2 * time.Minute, "soon", "", "2m", "flag"},
		{"a record out of bounds", 2 * time.Minute, "25h", "", "2m", "flag"},
		{"a keyspace of nonsense", 0, "3m", "-1s", "3m", "cluster"},
	} {
		l := settings.Layers{Flags: settings.Values{OpenTimeout: tt.flag}, Cluster: stored("open-timeout", tt.cluster), Keyspace: stored("open-timeout", tt.keyspace)}
		v, effective, _ := settings.Resolve(l)
		if e := effective[0]; e.Name != "open-timeout" || e.Value != tt.want || string(e.Origin) != tt.origin {
			t.Errorf("%s: %s from %s, want %s from %s", tt.name, e.Value, e.Origin, tt.want, tt.origin)
		}
		without := l
		without.Keyspace = nil
		base, _, _ := settings.Resolve(without)
		if base.Of(l.Keyspace) != v {
			t.Errorf("%s: two ways to the same lead to %+v and %+v", tt.name, base.Of(l.Keyspace), v)
		}
	}
	v, _, _ := settings.Resolve(settings.Layers{Keyspace: stored("settle", "9s")})
	if v.Settle != settings.Defaults().Settle || v.Of(stored("settle", "9s")).Settle != v.Settle {
		t.Error("a keyspace has set what belongs to the cluster")
	}
}

func stored(name, value string) map[string]string {
	if value == "" {
		return nil
	}
	return map[string]string{name: value}
}

// What another version has stored is told of, and stops nobody.
func TestWhatCannotBeUsedIsTold(t *testing.T) {
	_, _, ignored := settings.Resolve(settings.Layers{
		Cluster: map[string]string{"warp": "9", "settle": "never", "in-flight": "7"}, Keyspace: map[string]string{"source": "x"},
	})
	want := []settings.Ignored{
		{Name: "settle", Value: "never", Why: "is not a duration from 1ms to 1m"}, {Name: "warp", Value: "9", Why: "is unknown to this version"},
	}
	if diff := cmp.Diff(want, ignored); diff != "" {
		t.Error(diff)
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		set        map[string]string
		ofKeyspace bool
		want       string // the whole line
	}{
		{
			map[string]string{"open-timout": "1m"},
			false,
			`key "open-timout": is not a setting; did you mean open-timeout? ` + "`spanward config show -o wide` explains all of them",
		},
		{map[string]string{"zebra": "1"}, false, "key \"zebra\": is not a setting; see `spanward config show -o wide`"},
		{map[string]string{"timeout": "1"}, true, "key \"timeout\": is not a setting; did you mean open-timeout or close-timeout? `spanward config show -o wide` explains all of them"},
		{map[string]string{"settle": "1s"}, true, `key "settle": belongs to the whole cluster; set it without --keyspace`},
		{map[string]string{"place.spread": "zone"}, false, `key "place.spread": belongs to each keyspace; set it with --keyspace KS`},
		{map[string]string{"place.spred": "zone"}, true, "key \"place.spred\": is not a setting; did you mean place.spread? `spanward config show -o wide` explains all of them"},
		{
			map[string]string{"place.require": "zone"},
			true,
			`place.require "zone": has "zone", which is no label=value; write for example zone=a, zone=a|b or zone=a,disk=ssd; an empty value takes it back`,
		},
		{map[string]string{"settle": "0"}, false, `settle "0": is not a duration from 1ms to 1m; write for example 90s or 5m; the default is 500ms`},
		{map[string]string{"settle": "5"}, false, `settle "5": is not a duration from 1ms to 1m; write for example 90s or 5m; the default is 500ms`},
		{map[string]string{"open-timeout": "24h1ns"}, true, `open-timeout "24h1ns": is not a duration from 1ms to 24h; write for example 90s or 5m; the default is 1m`},
		{map[string]string{"in-flight": "0"}, false, `in-flight "0": is not a count from 1 to 100000; write for example 100; the default is 512`},
		{map[string]string{"in-flight": "1e3"}, false, `in-flight "1e3": is not a count from 1 to 100000; write for example 100; the default is 512`},
		{map[string]string{"mass-loss.share": "NaN"}, false, `mass-loss.share "NaN": is not a share from 0.01 to 1; write for example 0.5; the default is 0.5`},
		{map[string]string{"mass-loss.share": "50%"}, false, `mass-loss.share "50%": is not a share from 0.01 to 1; write for example 0.5; the default is 0.5`},
		{map[string]string{"settle": "1s", "in-flight": "-1"}, false, `in-flight "-1": is not a count from 1 to 100000; write for example 100; the default is 512`},
	} {
		err := settings.Check(tt.set, tt.ofKeyspace, nil)
		if err == nil || err.Error() != tt.want || !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%v: %v\nwant %s", tt.set, err, tt.want)
		}
	}
	over := settings.CheckTogether(settings.Layers{Cluster: map[string]string{"ask-retry": "1m"}})
	if want := `ask-retry "1m": is more than ask-retry.max, which is 30s; set both, so that ask-retry.max is not less`; over == nil || over.Error() != want {
		t.Errorf("%v", over)
	}
	// What another version has left can be taken away, and nothing else about it.
	old := map[string]string{"warp": "9"}
	if err := settings.Check(map[string]string{"warp": ""}, false, old); err != nil {
		t.Error(err)
	}
	if settings.Check(map[string]string{"warp": "8"}, false, old) == nil || settings.Check(map[string]string{"warp": ""}, false, nil) == nil {
		t.Error("a setting that is none was accepted")
	}
}

func TestFlagsHaveTheSameBounds(t *testing.T) {
	for _, v := range []settings.Values{
		{OpenTimeout: -time.Second}, {HistoryAge: time.Minute}, {InFlight: -1}, {MassLossShare: 2}, {AskRetry: time.Minute, AskRetryMax: time.Second},
	} {
		if settings.CheckFlags(v) == nil {
			t.Errorf("%+v was accepted", v)
		}
	}
	if err := settings.CheckFlags(settings.Values{HistoryAge: time.Hour}); err != nil {
		t.Error(err)
	}
}

// Whatever is stored or asked for: there is a value within the bounds of each setting, what was accepted has its effect,
// and taking it away leaves what was there before.
func TestAnythingResolves(t *testing.T) {
	var names []string
	for _, s := range settings.All() {
		names = append(names, s.Name)
	}
	names = append(names, "warp", "")
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"1s", "1m", "5", "0.7", "1h30m", "NaN", "-1", ""}))
	some := rapid.MapOfN(rapid.SampledFrom(names), text, 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		has, set := some.Draw(t, "stored"), some.Draw(t, "set")
		v, effective, _ := settings.Resolve(settings.Layers{Cluster: has})
		for _, e := range effective {
			if e.Unit == "rule" {
				continue
			}
			if err := settings.Check(map[string]string{e.Name: e.Value}, false, nil); err != nil {
				t.Fatalf("not within its own bounds: %v", err)
			}
		}
		if settings.CheckFlags(settings.Values{}) != nil || len(effective) != len(settings.All()) {
			t.Fatal("something is missing")
		}
		if settings.Check(set, false, has) != nil {
			return
		}
		changed := settings.Changed(has, set)
		_, after, _ := settings.Resolve(settings.Layers{Cluster: changed})
		for i, e := range after {
			value, named := set[e.Name]
			switch {
			case named && value == "" && e.Origin != settings.FromDefault, named && value != "" && e.Origin != settings.FromCluster:
				t.Fatalf("%s=%q came out as %s from %s", e.Name, value, e.Value, e.Origin)
			case !named && (e.Value != effective[i].Value || e.Origin != effective[i].Origin):
				t.Fatalf("%s changed, which nobody has named", e.Name)
			}
		}
		if w, _, _ := settings.Resolve(settings.Layers{Flags: v}); w != v {
			t.Fatalf("%+v as flags are %+v", v, w)
		}
	})
}

// The rules of placement are a keyspace's own, and shown as they were written.
func TestRulesAreShownAsTheyAreStored(t *testing.T) {
	_, effective, ignored := settings.Resolve(settings.Layers{
		Cluster: map[string]string{"place.prefer": "zone=c"}, Keyspace: map[string]string{"place.require": "zone=a|b", "place.spread": "a=b"},
	})
	want := map[string]string{"place.require": "zone=a|b keyspace", "place.spread": " default", "place.prefer": " default", "place.pin": " default"}
	for _, e := range effective {
		if text, ok := want[e.Name]; ok && text != e.Value+" "+string(e.Origin) {
			t.Errorf("%s: %q from %s, want %q", e.Name, e.Value, e.Origin, text)
		}
	}
	if len(ignored) != 2 || ignored[0].Name != "place.spread" || ignored[1].Name != "place.prefer" {
		t.Errorf("ignored: %v", ignored)
	}
}
