package etcdx

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spanward/spanward/internal/fault"
)

// access is a Config that has been checked and read.
type access struct {
	cfg       Config
	endpoints []string    // with scheme
	tls       *tls.Config // nil for http
	password  string
}

func newAccess(cfg Config) (*access, error) {
	a := &access{cfg: cfg}
	if err := a.readEndpoints(); err != nil {
		return nil, err
	}
	if err := a.readTLS(); err != nil {
		return nil, err
	}
	return a, a.readPassword()
}

func (a *access) listed() string { return strings.Join(a.cfg.Endpoints, ",") }

func (a *access) field(name string) string { return a.cfg.Flag + "-" + name }

func (a *access) wantsTLS() bool { return a.cfg.CACert != "" || a.cfg.Cert != "" || a.cfg.Key != "" }

func (a *access) readEndpoints() error {
	if len(a.cfg.Endpoints) == 0 {
		return fault.New(fault.InvalidArgument, "no etcd was named").On(a.cfg.Flag, "").
			Fix("give at least one address, such as 127.0.0.1:2379")
	}
	for _, e := range a.cfg.Endpoints {
		u, err := a.parse(e)
		if err != nil {
			return err
		}
		if !slices.Contains(a.endpoints, u) {
			a.endpoints = append(a.endpoints, u)
		}
		// The client decides by its first endpoint whether it encrypts.
		if scheme, _, _ := strings.Cut(a.endpoints[0], "://"); !strings.HasPrefix(u, scheme+"://") {
			return fault.New(fault.InvalidArgument, "http and https endpoints do not go together").On(a.cfg.Flag, a.listed()).
				Fix("use the same scheme for all endpoints")
		}
	}
	return nil
}

func (a *access) parse(endpoint string) (string, error) {
	malformed := fault.New(fault.InvalidArgument, "not an address of etcd").On(a.cfg.Flag, endpoint).
		Fix("write host:port, http://host:port or https://host:port")
	text := strings.TrimSpace(endpoint)
	if !strings.Contains(text, "://") {
		text = "http://" + text
		if a.wantsTLS() {
			text = "https" + strings.TrimPrefix(text, "http")
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", malformed
	}
	host, port, err := net.SplitHostPort(u.Host)
	if n, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || n < 1 || n > 65535 {
		return "", malformed
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme != "http":
		return "", malformed
	case a.wantsTLS():
		return "", fault.New(fault.InvalidArgument, "certificates are given, but this endpoint is not https").On(a.cfg.Flag, endpoint).
			Fix("write https://, or leave the certificates away")
	}
	return u.Scheme + "://" + u.Host, nil
}

func (a *access) readTLS() error {
	if strings.HasPrefix(a.endpoints[0], "http://") {
		return nil
	}
	if (a.cfg.Cert == "") != (a.cfg.Key == "") {
		return fault.New(fault.InvalidArgument, "a client certificate and its key go together").On(a.field("cert"), a.cfg.Cert).
			Fix("give both --%s and --%s", a.field("cert"), a.field("key"))
	}
	a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if a.cfg.CACert != "" {
		pem, err := os.ReadFile(a.cfg.CACert)
		if err != nil {
			return a.unusable("cacert", a.cfg.CACert, err)
		}
		a.tls.RootCAs = x509.NewCertPool()
		if !a.tls.RootCAs.AppendCertsFromPEM(pem) {
			return a.unusable("cacert", a.cfg.CACert, nil)
		}
	}
	if a.cfg.Cert != "" {
		pair, err := tls.LoadX509KeyPair(a.cfg.Cert, a.cfg.Key)
		if err != nil {
			return a.unusable("cert", a.cfg.Cert, err)
		}
		a.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func (a *access) unusable(flag, file string, cause error) error {
	f := fault.New(fault.InvalidArgument, "no certificate in PEM form could be read from this file").On(a.field(flag), file).
		Fix("check the path and its permissions")
	if cause != nil {
		f.Message, f.Remedy = "the file cannot be used: "+cause.Error(), "check the path, its permissions and its content"
	}
	return f.Because(cause)
}

func (a *access) readPassword() error {
	switch {
	case a.cfg.User == "" && a.cfg.PasswordFile == "":
		return nil
	case a.cfg.User == "":
		return fault.New(fault.InvalidArgument, "a password is given, but no user").On(a.field("password-file"), a.cfg.PasswordFile).
			Fix("add --%s", a.field("user"))
	case a.cfg.PasswordFile == "":
		return fault.New(fault.InvalidArgument, "a user is given, but no password").On(a.field("user"), a.cfg.User).
			Fix("add --%s", a.field("password-file"))
	}
	b, err := os.ReadFile(a.cfg.PasswordFile)
	if err != nil {
		return fault.New(fault.InvalidArgument, "the file cannot be read: %v", err).On(a.field("password-file"), a.cfg.PasswordFile).
			Fix("check the path and its permissions").Because(err)
	}
	if a.password = strings.TrimRight(string(b), "\r\n"); a.password == "" {
		return fault.New(fault.InvalidArgument, "the file holds no password").On(a.field("password-file"), a.cfg.PasswordFile).
			Fix("write the password of %q into it", a.cfg.User)
	}
	return nil
}
