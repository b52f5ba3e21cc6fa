package keys

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	// SignTimeout is how long a [crypto.Signer] that is not an in-memory key may take for a
	// signature.
	SignTimeout = 5 * time.Second
	// maxRemoteCalls is the number of calls of one such signer that run at a time, hung ones
	// included.
	maxRemoteCalls = 64
)

var (
	errSignTimeout = fmt.Errorf("the signer has not answered within %v", SignTimeout)
	errSignBusy    = fmt.Errorf("the signer has not answered %d earlier calls", maxRemoteCalls)
)

// A remote signs with a crypto.Signer that may be a device or a network service. The signer need
// not know contexts, and is not trusted to answer, or to answer with a signature.
type remote struct {
	signer crypto.Signer
	public Public
	calls  chan struct{} // one element for each call that runs
}

func newRemote(signer crypto.Signer, public Public) *remote {
	return &remote{signer: signer, public: public, calls: make(chan struct{}, maxRemoteCalls)}
}

// sign returns the JWS signature of signed. It returns at the end of ctx, and within SignTimeout. A
// call of the signer that has not returned by then goes on in its goroutine.
func (r *remote) sign(ctx context.Context, signed string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, SignTimeout, errSignTimeout)
	defer cancel()
	select {
	case r.calls <- struct{}{}:
	case <-ctx.Done():
		return nil, errors.Join(errSignBusy, context.Cause(ctx))
	}
	type result struct {
		signature []byte
		err       error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-r.calls }()
		signature, err := r.call(signed)
		done <- result{signature, err}
	}()
	select {
	case res := <-done:
		return res.signature, res.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// call calls the signer, and checks its signature. A panic is an error.
func (r *remote) call(signed string) (signature []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the signer panicked: %v", p)
		}
	}()
	message, hash := []byte(signed), crypto.Hash(0) // EdDSA signs the message itself
	if r.public.alg != EdDSA {
		digest := sha256.Sum256(message)
		message, hash = digest[:], crypto.SHA256
	}
	signature, err = r.signer.Sign(rand.Reader, message, hash)
	if err == nil && r.public.alg == ES256 {
		signature, err = rawECDSA(signature)
	}
	if err != nil {
		return nil, err
	}
	if err := r.public.Verify(signed, signature); err != nil {
		return nil, fmt.Errorf("the signer returned something else than a signature by its key: %w", err)
	}
	return signature, nil
}

// rawECDSA converts an ECDSA signature from ASN.1 to the form of JWS (RFC 7518 section 3.4).
func rawECDSA(signature []byte) ([]byte, error) {
	var rs struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &rs)
	if err != nil || len(rest) > 0 {
		return nil, errors.New("the signer returned something else than an ASN.1 ECDSA signature")
	}
	if rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
		return nil, errors.New("the signer returned an ECDSA signature out of range")
	}
	raw := make([]byte, 64)
	rs.R.FillBytes(raw[:32])
	rs.S.FillBytes(raw[32:])
	return raw, nil
}
