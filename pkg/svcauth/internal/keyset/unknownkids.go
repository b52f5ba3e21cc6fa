package keyset

import "hash/maphash"

// unknownKidsSize is how many kids unknownKids can hold.
const unknownKidsSize = 1 << 15

// unknownKids remembers kids that are not in a key set, in a fixed amount of memory. It tells an
// invented kid, of which an attacker can use any number once, from the kid of a real rotation,
// which is used again and again.
type unknownKids struct {
	seed  maphash.Seed
	noted []uint32 // a hash of the last kid of each slot
}

// note remembers a kid, and reports whether it was remembered before. A later kid with the same
// slot replaces it.
func (u *unknownKids) note(kid string) (again bool) {
	if u.noted == nil {
		u.noted = make([]uint32, unknownKidsSize)
	}
	hash := maphash.String(u.seed, kid)
	slot, mark := &u.noted[hash%unknownKidsSize], uint32(hash>>32)|1 // 0 is an empty slot
	again = *slot == mark
	*slot = mark
	return again
}
