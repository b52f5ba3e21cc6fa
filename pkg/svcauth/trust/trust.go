// Package trust reads and applies a service's trust file: whose calls the service accepts, and what
// each caller may do.
//
//	issuers:
//	  - issuer: https://herald.service/
//	    keys: discover
//	    allow: [GET /user/*]
//	    act_for: [https://census.service/user/*]
//
// [ReadFile] reads such a file, [Parse] its text. [New] makes the same [Policy] from Go values, for
// tests and for configuration that is stored elsewhere. All three make the same checks. A policy
// fetches nothing and never changes; a [Watcher] makes a new one when the file changes.
package trust
