package svcauth

import "hash/maphash"

// unknownKidsNoted is how many kids unknownKids tells apart.
const unknownKidsNoted = 1 << 15

// unknownKids notes kids that are not in a key set, in a fixed amount of memory. Anybody who knows
// an issuer's name can make kids up, each of them once; the kid of a real rotation comes up again
// and again.
type unknownKids struct {
	seed  maphash.Seed
	noted []uint32 // a hash of the last kid for each place
}

// note notes a kid, and reports whether it came up before. It may have forgotten some.
func (u *unknownKids) note(kid string) (again bool) {
	if u.noted == nil {
		u.noted = make([]uint32, unknownKidsNoted)
	}
	hash := maphash.String(u.seed, kid)
	place, mark := &u.noted[hash%unknownKidsNoted], uint32(hash>>32)|1 // 0 is an empty place
	again = *place == mark
	*place = mark
	return again
}
