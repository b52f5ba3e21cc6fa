// Package keys holds a service's own signing keys and the public keys of others.
//
// A service watches the directory that "svcauth rotate" maintains, signs with the key that is
// current, and publishes the public halves:
//
//	own, err := keys.Watch("/etc/herald/keys", logger)
//	signer, err := svcauth.NewSigner(svcauth.SignerConfig{Issuer: "https://herald.service/", Key: own})
//	mux.Handle("/"+keys.JWKSPath, keys.Handler(own))
//
// [Rotate] is one step of key rotation. [Load] and [Generate] are for a single key.
package keys
