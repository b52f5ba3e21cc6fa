package herald

import _ "embed"

// OpenAPI describes Herald's API. It is an OpenAPI 3.1 document in YAML.
//
//go:embed openapi.yaml
var OpenAPI string
