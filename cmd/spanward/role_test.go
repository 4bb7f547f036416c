package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Mistakes are told before anything is connected to: there is no etcd here.
func TestRoleUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"maintainer":           "--name: is missing",
		"maintainer --name M1": `--name "M1"`,
		"maintainer --name m1 --session-ttl 1500ms":                 `--session-ttl "1.5s"`,
		"maintainer --name m1 --session-ttl 1s":                     `--session-ttl "1s"`,
		"maintainer --name m1 --listen 0.0.0.0:0":                   "--insecure-listen",
		"maintainer --name m1 --listen nonsense":                    `--listen "nonsense"`,
		"maintainer --name m1 --listen 127.0.0.1:x":                 `--listen "127.0.0.1:x"`,
		"maintainer --name m1 --http-listen 0.0.0.0:0":              `--http-listen "0.0.0.0:0"`,
		"maintainer --name m1 --log-level loud":                     `--log-level "loud"`,
		"maintainer --name m1 --log-format xml":                     `--log-format "xml"`,
		"maintainer --name m1 --cluster A":                          `--cluster "A"`,
		"maintainer --name m1 --tls-ca " + file:                     "--tls-ca",
		"maintainer --name m1 --tls-cert " + file:                   "--tls-cert",
		"maintainer --name m1 --tls-client-ca " + file:              "--tls-client-ca",
		"maintainer --name m1 extra":                                `argument "extra"`,
		"dispatcher --name n1":                                      "--workload: is missing",
		"dispatcher --name n1 --workload x":                         `--workload "x"`,
		"dispatcher --name n1 --workload gate --label k":            `--label "k"`,
		"dispatcher --name n1 --workload gate --capacity -1":        "--capacity",
		"dispatcher --name n1 --workload gate --drain-timeout -1s":  "--drain-timeout",
		"dispatcher --workload gate":                                "--name: is missing",
		"dispatcher --name n1 --workload gate --etcd nonsense":      `etcd "nonsense"`,
		"dispatcher --name n1 --workload gate --etcd-user somebody": "etcd-password-file",
	} {
		p := startProcess(t, strings.Fields(line)...)
		code := <-p.ended
		p.ended <- code
		if code != 2 || !strings.Contains(p.stderr.String(), want) {
			t.Errorf("%s: exit %d: %s", line, code, p.stderr)
		}
	}
}

// Without the tag the variable is refused, and with it what it says.
func TestFailpointsThatCannotActAreRefused(t *testing.T) {
	var stderr lockedBuffer
	a := newApp(strings.NewReader(""), io.Discard, &stderr, func(name string) (string, bool) { return "x=exit", name == "SPANWARD_FAILPOINTS" })
	if code := a.run(t.Context(), []string{"maintainer", "--name", "m1"}); code != 2 {
		t.Errorf("exit %d: %s", code, &stderr)
	}
}

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", nil, nil)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign makes NAME.pem and NAME.key.
func (a *authority) sign(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	if parent == nil {
		parent, by, c.IsCA, c.KeyUsage = c, key, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", raw)
	return c, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// A cluster in which every connection is encrypted and every client shows a certificate, up to the command line.
func TestEverythingOverTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.sign("node", ca.cert, ca.key)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	server := []string{"--tls-cert", ca.file("node.pem"), "--tls-key", ca.file("node.key"), "--tls-client-ca", ca.file("ca.pem")}

	etcd := startProcess(t, append([]string{
		"etcd", "--data-dir", file("etcd"), "--listen-client", "127.0.0.1:0", "--ready-file", file("etcd.ready"), "--unsafe-no-fsync",
	}, server...)...)
	urls := "https://" + etcd.ready(file("etcd.ready")).Address

	// The environment, since one flag must not be enough to tell that all of them work.
	env := map[string]string{
		"SPANWARD_ETCD": urls, "SPANWARD_ETCD_CACERT": ca.file("ca.pem"), "SPANWARD_ETCD_CERT": ca.file("node.pem"),
		"SPANWARD_ETCD_KEY": ca.file("node.key"), "SPANWARD_TLS_CA": ca.file("ca.pem"), "SPANWARD_TLS_CERT": ca.file("node.pem"),
		"SPANWARD_TLS_KEY": ca.file("node.key"),
	}
	m := startProcessIn(t, env, "maintainer", "--name", "m1", "--tls-client-ca", ca.file("ca.pem"), "--http-listen", "127.0.0.1:0",
		"--ready-file", file("m1.ready"), "--log-format", "json")
	n := startProcessIn(t, env, "dispatcher", "--name", "n1", "--workload", "gate,mirror", "--gate-dir", file("gate"), "--label", "zone=a",
		"--tls-client-ca", ca.file("ca.pem"), "--ready-file", file("n1.ready"), "--data-dir", file("n1"))
	served := m.ready(file("m1.ready"))
	n.ready(file("n1.ready"))

	command := func(line string) (int, string) {
		var stdout, stderr lockedBuffer
		a := newApp(strings.NewReader(""), &stdout, &stderr, lookup(env))
		code := a.run(t.Context(), append([]string{"--timeout", "30s"}, strings.Fields(line)...))
		return code, stdout.String() + stderr.String()
	}
	if code, said := command("keyspace create ks --workload gate --range : --wait"); code != 0 {
		t.Fatalf("exit %d: %s", code, said)
	}
	if code, said := command("node show n1 -o json"); code != 0 || !strings.Contains(said, `"labels":{"zone":"a"}`) {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, said := command("lookup ks anything"); code != 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, said := command("status --timeout 2s --tls-ca="); code != 4 {
		t.Errorf("plain text to a server of TLS: exit %d: %s", code, said)
	}
	if code, said := command("check --settled"); code != 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": "spanward_build_info"} {
		if got := fetch(t, "http://"+string(served.HTTP)+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	for _, p := range []*process{n, m, etcd} {
		if code := p.end(); code != 0 {
			t.Errorf("exit %d:\n%s", code, p.stderr)
		}
	}
	if raw, err := os.ReadFile(file("gate/events.log")); err != nil || !strings.Contains(string(raw), `"event":"closed"`) {
		t.Errorf("a clean stop does not close: %s, %v", raw, err)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", url, resp.Status, err)
	}
	return string(raw)
}
