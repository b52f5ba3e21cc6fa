package httpjson

import (
	"encoding"
	"errors"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// strict holds the options for decoding a body.
var strict = json.JoinOptions(
	json.RejectUnknownMembers(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(rejectNull)),
)

var errNull = errors.New("null")

// rejectNull is called before each value is decoded into the variable that v points to. It rejects
// null, which the json package would decode as the zero value of any type. It leaves all other
// values to the json package.
func rejectNull(d *jsontext.Decoder, v any) error {
	if d.PeekKind() != 'n' {
		return errors.ErrUnsupported
	}
	switch v.(type) {
	case json.Unmarshaler, json.UnmarshalerFrom, *any:
		return errors.ErrUnsupported
	}
	return errNull
}

// fieldProblem returns the problem for a value that cannot be decoded into T.
func fieldProblem(err error) *Problem {
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return InvalidFields(FieldError{Detail: notAcceptable})
	}
	return InvalidFields(FieldError{Field: string(semantic.JSONPointer), Detail: fieldDetail(semantic)})
}

const notAcceptable = "is not acceptable"

func fieldDetail(err *json.SemanticError) string {
	switch {
	case errors.Is(err.Err, json.ErrUnknownName):
		return "is not a known member"
	case errors.Is(err.Err, errNull):
		return "must not be null"
	case errors.Is(err.Err, strconv.ErrRange):
		return "is out of range"
	case err.Err == nil, errors.Is(err.Err, strconv.ErrSyntax):
		return typeDetail(err.GoType)
	}
	return notAcceptable
}

func typeDetail(t reflect.Type) string {
	if t == nil {
		return notAcceptable
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "must be a string"
	}
	switch t.Kind() {
	case reflect.String:
		return "must be a string"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Float32, reflect.Float64:
		return "must be a number"
	case reflect.Struct, reflect.Map:
		return "must be an object"
	case reflect.Slice, reflect.Array:
		return "must be an array"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "must be a whole number"
	default:
		return notAcceptable
	}
}
