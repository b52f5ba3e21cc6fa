package keyset

import "hash/maphash"

// unknownKidsSize is the number of slots of unknownKids.
const unknownKidsSize = 1 << 15

// unknownKids records kids that are not in a key set, in a fixed amount of memory. It distinguishes
// an invented kid from the kid of a rotation: an attacker can invent any number of kids and use
// each once, but the kid of a rotation is used many times.
type unknownKids struct {
	seed  maphash.Seed
	noted []uint32 // a hash of the last kid of each slot
}

// note records a kid, and reports whether it was recorded before. A later kid in the same slot
// replaces it.
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
