package svcauth

import (
	"hash/maphash"
	"time"
)

// unknownKids decides which kids that are not in a key set are worth a fetch of it. Anybody who knows an issuer's name can
// make kids up, so all of them together are worth one now and then. One that comes up again, as that of a real rotation
// does, is worth one more, as long as that has not been tried too often. The memory that it takes is fixed.
type unknownKids struct {
	seed   maphash.Seed
	noted  []uint32  // the kids that came up, as hashes, each in the place that its hash says
	fetch  time.Time // when a kid was last worth a fetch for coming up at all
	again  float64   // how many times it may be worth one to come up again, when last counted
	counts time.Time // when that was
}

// worthFetch notes a kid, and reports whether it is worth a fetch now; none is, where no fetch is due.
func (u *unknownKids) worthFetch(kid string, now time.Time, due bool) bool {
	again := u.note(kid)
	switch {
	case !due, !again && now.Sub(u.fetch) < jwksKidsPause:
		return false
	case !again:
		u.fetch = now
		return true
	}
	u.again = min(jwksKidsAgain, u.again+float64(now.Sub(u.counts))/float64(jwksKidsRegain))
	u.counts = now
	if u.again < 1 {
		return false
	}
	u.again--
	return true
}

// note notes a kid, and reports whether it came up before.
func (u *unknownKids) note(kid string) (again bool) {
	if u.noted == nil {
		u.noted = make([]uint32, jwksKidsNoted)
	}
	hash := maphash.String(u.seed, kid)
	place, mark := &u.noted[hash%jwksKidsNoted], uint32(hash>>32)|1 // 0 is an empty place
	again = *place == mark
	*place = mark
	return again
}
