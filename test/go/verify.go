// Judges certificate chains by Go's crypto/x509: JSON questions on standard input, JSON answers on standard
// output, an empty one where the chain is accepted.
package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
)

type question struct {
	Roots, Intermediates []string
	Leaf                 string
	Crl                  string
}

func certificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func pool(texts []string) (*x509.CertPool, error) {
	found := x509.NewCertPool()
	for _, text := range texts {
		one, err := certificate(text)
		if err != nil {
			return nil, err
		}
		found.AddCert(one)
	}
	return found, nil
}

func judge(asked question) error {
	roots, err := pool(asked.Roots)
	if err != nil {
		return err
	}
	// One that can't be read leads nowhere.
	intermediates := x509.NewCertPool()
	for _, text := range asked.Intermediates {
		if one, err := certificate(text); err == nil {
			intermediates.AddCert(one)
		}
	}
	leaf, err := certificate(asked.Leaf)
	if err != nil {
		return err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil || asked.Crl == "" {
		return err
	}
	der, err := base64.StdEncoding.DecodeString(asked.Crl)
	if err != nil {
		return err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	return list.CheckSignatureFrom(chains[0][1])
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		panic(err)
	}
	answers := make([]string, len(questions))
	for i, asked := range questions {
		if err := judge(asked); err != nil {
			answers[i] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
