package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Files are the paths of PEM files: an authority, and what it signed for the server and for one client.
type Files struct {
	CACert, Cert, Key     string // what a client needs
	ServerCert, ServerKey string
}

// NewFiles creates an authority with certificates of its own, so that a test has some that a server does not accept.
func NewFiles(tb testing.TB) Files {
	tb.Helper()
	return *writeFiles(tb)
}

func writeFiles(tb testing.TB) *Files {
	tb.Helper()
	dir := tb.TempDir()
	f := &Files{
		CACert: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key"),
		ServerCert: filepath.Join(dir, "server.pem"), ServerKey: filepath.Join(dir, "server.key"),
	}
	ca := newAuthority(tb, f.CACert)
	ca.issue(tb, "server", x509.ExtKeyUsageServerAuth, f.ServerCert, f.ServerKey)
	ca.issue(tb, "client", x509.ExtKeyUsageClientAuth, f.Cert, f.Key)
	return f
}

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB, file string) authority {
	tb.Helper()
	a := authority{key: newKey(tb), cert: template("authority")}
	a.cert.IsCA, a.cert.BasicConstraintsValid = true, true
	a.cert.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	writePEM(tb, file, "CERTIFICATE", der)
	return a
}

func (a authority) issue(tb testing.TB, name string, usage x509.ExtKeyUsage, certFile, keyFile string) {
	tb.Helper()
	key, t := newKey(tb), template(name)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	writePEM(tb, certFile, "CERTIFICATE", der)
	writePEM(tb, keyFile, "PRIVATE KEY", secret)
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func writePEM(tb testing.TB, file, kind string, der []byte) {
	tb.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (f *Files) pool(tb testing.TB) *x509.CertPool {
	tb.Helper()
	b, err := os.ReadFile(f.CACert)
	if err != nil {
		tb.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(b)
	return p
}

func (f *Files) clientTLS(tb testing.TB) *tls.Config {
	tb.Helper()
	return &tls.Config{RootCAs: f.pool(tb), Certificates: []tls.Certificate{loadPair(tb, f.Cert, f.Key)}, MinVersion: tls.VersionTLS12}
}

func (f *Files) serverTLS(tb testing.TB) *tls.Config {
	tb.Helper()
	return &tls.Config{
		ClientCAs: f.pool(tb), ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
		Certificates: []tls.Certificate{loadPair(tb, f.ServerCert, f.ServerKey)}, MinVersion: tls.VersionTLS12,
	}
}

func loadPair(tb testing.TB, cert, key string) tls.Certificate {
	tb.Helper()
	c, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
