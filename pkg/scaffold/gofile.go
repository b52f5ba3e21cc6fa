package scaffold

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/scanner"
	"go/token"
)

// editGo applies edit to each name, string and comment of a Go file, and formats it.
func editGo(source []byte, edit func(tok token.Token, text string) string) ([]byte, error) {
	var out bytes.Buffer
	var s scanner.Scanner
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	s.Init(file, source, nil, scanner.ScanComments)
	copied := 0 // bytes of source that out has
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			break
		}
		if tok != token.IDENT && tok != token.STRING && tok != token.COMMENT {
			continue
		}
		start := file.Offset(pos)
		out.Write(source[copied:start])
		out.WriteString(edit(tok, text))
		copied = start + len(text)
	}
	out.Write(source[copied:])
	return formatGo(out.Bytes())
}

// formatGo formats a Go file and sorts its imports.
func formatGo(source []byte) ([]byte, error) {
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, "", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	ast.SortImports(files, tree)
	var out bytes.Buffer
	if err := format.Node(&out, files, tree); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
