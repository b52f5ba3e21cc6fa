package keys_test

import (
	"fmt"
	"os"

	"example.com/micromachine/pkg/svcauth/keys"
)

// The keys of a running service are rotated from outside. The next key is published at once. It
// signs when every receiver has had the time to fetch it.
func ExampleRotate() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if _, err := keys.Rotate(dir, keys.RotateConfig{}); err != nil { // makes the first key
		panic(err)
	}
	own, err := keys.Watch(dir, nil) // in the service
	if err != nil {
		panic(err)
	}
	fmt.Println(len(own.PublishedKeys()), "published")

	rotation, err := keys.Rotate(dir, keys.RotateConfig{}) // as "svcauth rotate" does, from cron
	if err != nil {
		panic(err)
	}
	fmt.Println("the next key was added:", rotation.Added, rotation.Next != rotation.Signing)

	rotation, err = keys.Rotate(dir, keys.RotateConfig{}) // does no harm
	if err != nil {
		panic(err)
	}
	fmt.Println("and another:", rotation.Added)
	// Output:
	// 1 published
	// the next key was added: true true
	// and another: false
}
