package site

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/qanat-water/qanat/internal/base/fault"
)

const (
	maxColumns = 500
	maxRows    = 500_000
	maxHeader  = 64 << 10 // bytes that are looked at to find the delimiter
)

// sheet reads a CSV file row by row, as spreadsheets write them: with a byte
// order mark or not, separated by comma, semicolon, tab or bar.
type sheet struct {
	columns   []string
	delimiter rune
	reader    *csv.Reader
	row       int // of the record read last; the header is row 1
}

// RowError is one thing wrong with one row.
type RowError struct {
	Row     int    `json:"row" doc:"as a spreadsheet counts: the header is row 1"`
	Column  string `json:"column,omitempty"`
	Value   string `json:"value,omitempty"`
	Message string `json:"message"`
	Mend    string `json:"mend,omitempty"`
}

func badFile(code, message, mend string) error {
	return fault.New(fault.Invalid, "import."+code, message).WithMend(mend)
}

func openSheet(r io.Reader) (*sheet, error) {
	b := bufio.NewReaderSize(r, maxHeader)
	head, err := b.Peek(maxHeader)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return nil, badFile("encoding", "The file is UTF-16", "Save it as CSV UTF-8")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return nil, badFile("format", "This is a spreadsheet file, not CSV", "Save it as CSV UTF-8")
	case bytes.IndexByte(head, 0) >= 0:
		return nil, badFile("format", "This is no text file", "Save it as CSV UTF-8")
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		if _, err := b.Discard(3); err != nil {
			return nil, err
		}
		head = head[3:]
	}
	s := &sheet{delimiter: delimiterOf(head), reader: csv.NewReader(b)}
	s.reader.Comma, s.reader.FieldsPerRecord, s.reader.ReuseRecord = s.delimiter, -1, true
	header, err := s.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, badFile("empty", "The file is empty", "Send a CSV file with a line of column names")
	}
	if err != nil {
		return nil, badFile("header", "The first line cannot be read: "+csvMessage(err), "Write the column names in the first line, quoted with \" where they hold the separator")
	}
	s.row = 1
	if len(header) > maxColumns {
		return nil, fault.Newf(fault.TooLarge, "import.columns", "The file has %d columns; %d is the most", len(header), maxColumns).WithMend("Leave some out")
	}
	seen := map[string]bool{}
	for i, name := range header {
		if !utf8.ValidString(name) {
			return nil, badFile("encoding", "The column names are not UTF-8", "Save the file as CSV UTF-8")
		}
		name = strings.TrimSpace(name)
		if name == "" {
			name = fmt.Sprintf("column %d", i+1)
		}
		if utf8.RuneCountInString(name) > 200 {
			return nil, badFile("header", fmt.Sprintf("The name of column %d is longer than 200 characters", i+1), "Write the column names in the first line")
		}
		unique := name
		for n := 2; seen[unique]; n++ {
			unique = fmt.Sprintf("%s (%d)", name, n)
		}
		seen[unique] = true
		s.columns = append(s.columns, unique)
	}
	return s, nil
}

// delimiterOf counts candidates in the first line, outside of quotes.
func delimiterOf(head []byte) rune {
	counts := map[rune]int{}
	quoted := false
	for _, c := range string(head) {
		if c == '"' {
			quoted = !quoted
		}
		if quoted {
			continue
		}
		if c == '\n' {
			break
		}
		counts[c]++
	}
	best := ','
	for _, c := range []rune{';', '\t', '|'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}

func csvMessage(err error) string {
	switch {
	case errors.Is(err, csv.ErrBareQuote):
		return "a quotation mark stands inside an unquoted cell"
	case errors.Is(err, csv.ErrQuote):
		return "a quoted cell does not end"
	}
	return "it is not CSV"
}

// next reads a row. The record is valid until the next call. wrong is set for a
// row that cannot be read; the rows after it can. The error io.EOF ends the file.
func (s *sheet) next() (record []string, wrong *RowError, err error) {
	record, err = s.reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, io.EOF
	}
	s.row++
	if s.row > maxRows+1 {
		return nil, nil, fault.Newf(fault.TooLarge, "import.rows", "The file has more than %d rows", maxRows).WithMend("Split it")
	}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return nil, &RowError{Row: s.row, Message: csvMessage(err), Mend: "double the quotation marks inside a quoted cell"}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read import: %w", err)
	}
	for i := len(s.columns); i < len(record); i++ {
		if record[i] != "" {
			return nil, &RowError{Row: s.row, Column: fmt.Sprintf("column %d", i+1), Value: short(record[i]),
				Message: fmt.Sprintf("the row has %d cells, the header %d", len(record), len(s.columns)),
				Mend:    "quote cells that hold the separator"}, nil
		}
	}
	for i, cell := range record {
		if !utf8.ValidString(cell) {
			return nil, &RowError{Row: s.row, Column: s.columns[min(i, len(s.columns)-1)], Value: short(strings.ToValidUTF8(cell, "\ufffd")),
				Message: "the text is not UTF-8", Mend: "save the file as CSV UTF-8"}, nil
		}
	}
	return record, nil, nil
}

// short is a value as an error shows it.
func short(s string) string {
	if utf8.RuneCountInString(s) <= 60 {
		return s
	}
	return string([]rune(s)[:60]) + "…"
}
