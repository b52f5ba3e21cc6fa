package delivery

// NewBreaker returns a breaker to the tests.
var NewBreaker = newBreaker

// The operations of a breaker.
var (
	Enter   = (*breaker).enter
	Passed  = (*breaker).passed
	Tripped = (*breaker).tripped
	Left    = (*breaker).left
)
