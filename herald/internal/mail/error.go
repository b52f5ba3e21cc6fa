package mail

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// An Error is the reason why a mail was not sent. Its texts contain no mail address. The server's
// own texts often do, so they are left out.
type Error struct {
	Code      int    // the code of the server's reply; 0 without a reply
	Permanent bool   // whether a retry would fail, too
	InDoubt   bool   // whether the server may have accepted the mail
	Server    bool   // whether the fault concerns all mail; this mail was not sent
	Detail    string // a description for the creator of the notification

	stale bool  // whether the connection was closed before the first command
	cause error // for the log; nil when it may contain an address
}

// Error returns the detail and, if there is one, the cause.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Detail
	}
	return fmt.Sprintf("%s: %v", e.Detail, e.cause)
}

// asError converts a nil *Error to a nil error.
func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// dialError converts an error of a dial. It is a fault of the server or of Herald's configuration,
// never of a mail, whatever the code. If the login has begun, the error is the login's, as that is
// the last step of a dial.
func dialError(err error, login *login) *Error {
	if failure, ok := errors.AsType[*Error](err); ok {
		failure.Server = true
		return failure
	}
	reply, ok := errors.AsType[*textproto.Error](err)
	switch {
	case ok && login.name != "":
		detail := fmt.Sprintf("the mail server refused the login by %s: it answered %d", login.name, reply.Code)
		return &Error{Code: reply.Code, Server: true, Detail: detail}
	case ok:
		detail := fmt.Sprintf("the mail server refused the connection: it answered %d", reply.Code)
		return &Error{Code: reply.Code, Server: true, Detail: detail}
	default:
		return &Error{Server: true, Detail: "the mail server could not be reached", cause: err}
	}
}

// phases names the part of a mail that a reply refuses.
var phases = map[gomail.SendErrReason]string{
	gomail.ErrSMTPMailFrom:  "the sender",
	gomail.ErrSMTPRcptTo:    "the recipient",
	gomail.ErrSMTPData:      "the message",
	gomail.ErrWriteContent:  "the message",
	gomail.ErrSMTPDataClose: "the message",
}

// loginReplies are the codes of replies that concern Herald's login, not a mail (RFC 4954 section
// 6, RFC 5321 section 4.2.3).
var loginReplies = map[int]bool{530: true, 534: true, 535: true, 538: true}

// messageTooLarge is the only reply to MAIL above 500 that concerns the mail (RFC 1870 section
// 6.1).
const messageTooLarge = 552

// concernsAll reports whether the server would give the same reply to every mail: it closes the
// connection (421), requires another login, or refuses the sender.
func concernsAll(reason gomail.SendErrReason, code int) bool {
	return code == 421 || loginReplies[code] || reason == gomail.ErrSMTPMailFrom && code >= 500 && code != messageTooLarge
}

// sendError converts an error of go-mail's Send. It uses the code and the phase, as go-mail's own
// IsTemp reports a broken connection as a permanent failure.
func sendError(err error) *Error {
	sent, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return &Error{Detail: "the mail could not be sent"}
	}
	code, phase := sent.ErrorCode(), phases[sent.Reason]
	broken := sent.Reason == gomail.ErrConnCheck || sent.Reason == gomail.ErrSMTPMailFrom
	switch {
	case code != 0:
		return &Error{
			Code: code, Server: concernsAll(sent.Reason, code),
			Permanent: code >= 500 && !loginReplies[code], stale: code == 421 && broken,
			Detail: strings.TrimSpace(fmt.Sprintf("the mail server did not accept %s: it answered %d %s", phase, code,
				sent.EnhancedStatusCode())),
		}
	case sent.Reason == gomail.ErrSMTPDataClose:
		return &Error{InDoubt: true, Detail: "the connection broke before the mail server said whether it accepted the mail"}
	default:
		return &Error{stale: broken, Detail: "the connection to the mail server broke"}
	}
}
