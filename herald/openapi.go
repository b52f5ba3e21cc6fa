package herald

import _ "embed"

// OpenAPI is the description of Herald's API, an OpenAPI 3.1 document in YAML.
//
//go:embed openapi.yaml
var OpenAPI string
