package service

// Sharer returns the name under which a caller has its share of a limit.
var Sharer = sharer
