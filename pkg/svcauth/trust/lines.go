package trust

// lines are the numbers of the lines that an entry comes from. An entry that was made in Go has its
// own number, from 1 on, in the place of all lines.
type lines struct {
	entry  int
	fields map[string]int // by the field's name in the file
	allow  []int
	actFor []int
	algs   []int
}

// field returns the line of a field's value, or that of the entry.
func (l *lines) field(name string) int {
	if line, ok := l.fields[name]; ok {
		return line
	}
	return l.entry
}

// item returns the line of an item of a list, or that of the entry.
func (l *lines) item(list []int, i int) int {
	if i < len(list) {
		return list[i]
	}
	return l.entry
}
