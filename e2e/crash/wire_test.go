package crash_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The types of messages that the proxy reads. See "Frontend/Backend Protocol, Message Formats" in
// PostgreSQL's documentation.
const (
	msgParse, msgBind, msgExecute, msgQuery, msgSync, msgFlush = 'P', 'B', 'E', 'Q', 'S', 'H'
	msgTerminate, msgPassword                                  = 'X', 'p'
	msgReady, msgComplete, msgError                            = 'Z', 'C', 'E'
)

// maxMessage is the maximum size of a message.
const maxMessage = 64 << 20

// A message is a message in its wire format.
type message []byte

func (m message) kind() byte   { return m[0] }
func (m message) body() []byte { return m[5:] }

// readMessage reads a message that begins with its type.
func readMessage(r *bufio.Reader) (message, error) {
	kind, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	rest, err := readStartup(r)
	if err != nil {
		return nil, err
	}
	return append(message{kind}, rest...), nil
}

// readStartup reads a message that begins with its length, as the startup message does.
func readStartup(r *bufio.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 4 || n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	raw := make([]byte, n)
	copy(raw, length[:])
	_, err := io.ReadFull(r, raw[4:])
	return raw, err
}

// fields returns the first n NUL-terminated strings of a body.
func fields(body []byte, n int) []string {
	found := make([]string, n)
	for i := range found {
		field, rest, _ := bytes.Cut(body, []byte{0})
		found[i], body = string(field), rest
	}
	return found
}

// rowsOf returns the number of rows in a CommandComplete.
func rowsOf(m message) int {
	tag := fields(m.body(), 1)[0]
	n, _ := strconv.Atoi(tag[strings.LastIndexByte(tag, ' ')+1:])
	return n
}

// A transcript tracks the statements of one connection.
type transcript struct {
	prepared map[string]string // the SQL of prepared statements, by name
	sql      []string          // the statements since the last Sync
	inTx     bool
	written  write // the last write in the transaction
}

// note records a message of the client.
func (t *transcript) note(m message) {
	switch m.kind() {
	case msgParse:
		f := fields(m.body(), 2)
		t.prepared[f[0]] = f[1]
	case msgBind:
		t.sql = append(t.sql, t.prepared[fields(m.body(), 2)[1]])
	case msgQuery:
		t.sql = append(t.sql, fields(m.body(), 1)[0])
	}
}

// commits returns the write that the statements since the last Sync commit, and clears the
// statements.
func (t *transcript) commits() (durable write) {
	for _, sql := range t.sql {
		for w, mark := range writeMarks {
			if strings.Contains(strings.ToLower(sql), strings.ToLower(mark)) {
				t.written = w
			}
		}
		switch command := strings.ToLower(strings.TrimSpace(sql)); {
		case strings.HasPrefix(command, "begin"):
			t.inTx, t.written = true, none
		case strings.HasPrefix(command, "rollback"):
			t.inTx, t.written = false, none
		case strings.HasPrefix(command, "commit"):
			t.inTx = false
		}
	}
	t.sql = nil
	if !t.inTx {
		durable, t.written = t.written, none
	}
	return durable
}
