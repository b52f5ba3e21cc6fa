package keys

import (
	"crypto/sha256"
	"errors"
	"math/big"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// smallPrimes is the bound under which every prime is tried as a factor of a modulus.
	smallPrimes = 1 << 16
	// fermatRounds is how many rounds of Fermat's factorization are tried, as the CA/Browser
	// Forum's Baseline Requirements (section 6.1.1.3) say.
	fermatRounds = 100
	// maxCheckedModuli bounds the memory of checkModulus.
	maxCheckedModuli = 1024
)

var (
	errEvenModulus  = errors.New("RSA key whose modulus is even")
	errSmallFactor  = errors.New("RSA key whose modulus has a small factor")
	errPrimeModulus = errors.New("RSA key whose modulus is a prime or a power of one")
	errCloseFactors = errors.New("RSA key whose modulus has two factors close to each other")
)

// checkedModuli caches the results of findWeakness by the hash of the modulus: trust files and key
// sets are read again and again with the same keys in them.
var checkedModuli = sync.OnceValue(func() *lru.Cache[[sha256.Size]byte, error] {
	cache, err := lru.New[[sha256.Size]byte, error](maxCheckedModuli)
	if err != nil {
		panic(err) // the size is positive
	}
	return cache
})

// checkModulus returns an error when a cheap test shows that n is not the product of two large
// primes, so that anybody can compute the private key (compare NIST SP 800-89 section 5.3.3). A
// modulus that passes may still be weak. The first check of a modulus of 4096 bits takes about 25
// ms.
func checkModulus(n *big.Int) error {
	sum := sha256.Sum256(n.Bytes())
	if weakness, ok := checkedModuli().Get(sum); ok {
		return weakness
	}
	weakness := findWeakness(n)
	checkedModuli().Add(sum, weakness)
	return weakness
}

func findWeakness(n *big.Int) error {
	switch {
	case n.Bit(0) == 0:
		return errEvenModulus
	case commonFactor(primorial(), n):
		return errSmallFactor
	case isPrimePower(n):
		return errPrimeModulus
	case hasCloseFactors(n):
		return errCloseFactors
	}
	return nil
}

// commonFactor reports whether a and n have a common factor.
func commonFactor(a, n *big.Int) bool {
	rest := new(big.Int).Mod(a, n)
	return rest.GCD(nil, nil, rest, n).Cmp(big.NewInt(1)) != 0
}

// primorial returns the product of all primes under smallPrimes.
var primorial = sync.OnceValue(func() *big.Int {
	composite := make([]bool, smallPrimes)
	product, group := big.NewInt(1), big.NewInt(1)
	for p := 2; p < smallPrimes; p++ {
		if composite[p] {
			continue
		}
		for multiple := 2 * p; multiple < smallPrimes; multiple += p {
			composite[multiple] = true
		}
		group.Mul(group, big.NewInt(int64(p)))
		if group.BitLen() > 2048 { // a few large products are faster than many small ones
			product.Mul(product, group)
			group.SetInt64(1)
		}
	}
	return product.Mul(product, group)
})

// isPrimePower reports whether the odd number n is p^k for a prime p and k ≥ 1: by Fermat's little
// theorem p then divides 2^n - 2. For a product of different large primes the two have no common
// factor, but with negligible probability.
func isPrimePower(n *big.Int) bool {
	two := big.NewInt(2)
	power := new(big.Int).Exp(two, n, n)
	return commonFactor(power.Sub(power, two), n)
}

// hasCloseFactors reports whether Fermat's factorization succeeds within fermatRounds: whether n is
// a² - b² for an integer a that is the square root of n or just over it (CVE-2022-26320).
func hasCloseFactors(n *big.Int) bool {
	one := big.NewInt(1)
	a := new(big.Int).Sub(n, one)
	a.Sqrt(a)
	square := new(big.Int)
	for range fermatRounds {
		a.Add(a, one)
		square.Mul(a, a).Sub(square, n)
		if isSquare(square) {
			return true
		}
	}
	return false
}

// isSquare reports whether n is the square of an integer.
func isSquare(n *big.Int) bool {
	// Squares end in one of 12 of the 64 patterns of six bits.
	const squares = 1<<0 | 1<<1 | 1<<4 | 1<<9 | 1<<16 | 1<<17 | 1<<25 | 1<<33 | 1<<36 | 1<<41 | 1<<49 | 1<<57
	if low := new(big.Int).And(n, big.NewInt(63)).Uint64(); uint64(squares)>>low&1 == 0 {
		return false
	}
	root := new(big.Int).Sqrt(n)
	return root.Mul(root, root).Cmp(n) == 0
}
