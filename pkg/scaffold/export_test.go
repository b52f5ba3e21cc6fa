package scaffold

// CheckName, WithService, WithoutService and Renamed are the parts of a plan before it is compiled.
var (
	CheckName      = (*Repository).checkName
	WithService    = (*Repository).withService
	WithoutService = (*Repository).withoutService
	Renamed        = (*Repository).renamed
	PlanOf         = (*Repository).plan
)

// Files returns the files of a repository.
func (r *Repository) Files() map[string][]byte { return r.files }
