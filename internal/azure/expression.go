package azure

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// expression is a parsed template expression: exactly one of its forms.
type expression struct {
	literal any           // string or json.Number
	call    string        // the name of a function as written
	args    []*expression // of the call
	of      *expression   // what an index is taken of
	index   *expression   // a name or a number
}

const (
	maxExpression = 24576 // characters, as in Azure
	maxParens     = 50
)

// parse reads an expression without its brackets.
func parse(text string) (*expression, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("it is longer than %d characters", maxExpression)
	}
	p := parser{rest: text}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if p.skip(); p.rest != "" {
		return nil, fmt.Errorf("%s is too much", quoted(p.rest))
	}
	return e, nil
}

type parser struct{ rest string }

func (p *parser) skip() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take reads a character if it comes next.
func (p *parser) take(c string) bool {
	p.skip()
	rest, ok := strings.CutPrefix(p.rest, c)
	p.rest = rest
	return ok
}

// expression reads a value and the accesses to its parts.
func (p *parser) expression(depth int) (*expression, error) {
	if depth > maxParens {
		return nil, fmt.Errorf("it is nested more than %d levels deep", maxParens)
	}
	e, err := p.primary(depth)
	for parts := 0; err == nil; parts++ {
		var index *expression
		switch {
		case parts > maxParens:
			return nil, fmt.Errorf("it has more than %d accesses in a row", maxParens)
		case p.take("."):
			name := p.word()
			if name == "" {
				return nil, errors.New("a name is wanted after the dot")
			}
			index = &expression{literal: name}
		case p.take("["):
			if index, err = p.expression(depth + 1); err != nil {
				return nil, err
			}
			if !p.take("]") {
				return nil, errors.New("a bracket is not closed")
			}
		default:
			return e, nil
		}
		e = &expression{of: e, index: index}
	}
	return nil, err
}

func (p *parser) primary(depth int) (*expression, error) {
	if p.take("'") {
		return p.quotedText()
	}
	negative := p.take("-")
	word := p.word()
	switch {
	case word == "":
		return nil, fmt.Errorf("a value is wanted at %s", quoted(p.rest))
	case strings.Trim(word, "0123456789") == "" && len(word) < 18:
		if negative {
			word = "-" + word
		}
		return &expression{literal: json.Number(word)}, nil
	case negative || !p.take("("):
		return nil, fmt.Errorf("%s is neither a value nor a call of a function", quoted(word))
	}
	e := &expression{call: word}
	if p.take(")") {
		return e, nil
	}
	for {
		arg, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		e.args = append(e.args, arg)
		switch {
		case p.take(","):
		case p.take(")"):
			return e, nil
		default:
			return nil, errors.New("a parenthesis is not closed")
		}
	}
}

// quotedText reads a text after its first quote; two quotes in it are one.
func (p *parser) quotedText() (*expression, error) {
	var b strings.Builder
	for {
		before, after, closed := strings.Cut(p.rest, "'")
		if !closed {
			return nil, errors.New("a quote is not closed")
		}
		b.WriteString(before)
		p.rest = after
		if rest, again := strings.CutPrefix(after, "'"); again {
			b.WriteByte('\'')
			p.rest = rest
			continue
		}
		return &expression{literal: b.String()}, nil
	}
}

func (p *parser) word() string {
	p.skip()
	rest := strings.TrimLeft(p.rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
	word := p.rest[:len(p.rest)-len(rest)]
	p.rest = rest
	return word
}
