package objects

import (
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
)

// hashSeed is random per process, so that nobody can prepare two objects with the same hash.
var hashSeed = maphash.MakeSeed()

// contentHash gives the same number for two JSON texts that say the same, whatever the order of
// their fields and their white space. It tells repetition from contradiction (S2) without keeping
// every object's text, and is never shown or stored. The text must be valid JSON.
func contentHash(data []byte) uint64 {
	h := hasher{data: data}
	return h.value()
}

type hasher struct {
	data []byte
	pos  int
}

func (h *hasher) value() uint64 {
	switch h.next() {
	case '{':
		return h.object()
	case '[':
		return h.array()
	case '"':
		return maphash.Bytes(hashSeed, h.str())
	}
	start := h.pos
	for h.pos < len(h.data) && !isDelimiter(h.data[h.pos]) {
		h.pos++
	}
	return mix(3, maphash.Bytes(hashSeed, h.data[start:h.pos]))
}

// object adds up its members, so that their order does not count.
func (h *hasher) object() uint64 {
	sum := uint64(1)
	h.pos++
	for h.next() == '"' {
		key := maphash.Bytes(hashSeed, h.str())
		h.next()
		h.pos++ // the colon
		sum += mix(key, h.value())
		if h.next() == ',' {
			h.pos++
		}
	}
	h.pos++
	return mix(1, sum)
}

func (h *hasher) array() uint64 {
	sum := uint64(2)
	h.pos++
	for {
		switch h.next() {
		case ']', 0:
			h.pos++
			return mix(2, sum)
		case ',':
			h.pos++
		default:
			sum = mix(sum, h.value())
		}
	}
}

// str gives the string's content at the opening quote, with escapes resolved.
func (h *hasher) str() []byte {
	start, escaped := h.pos, false
	for h.pos++; h.pos < len(h.data) && h.data[h.pos] != '"'; h.pos++ {
		if h.data[h.pos] == '\\' {
			escaped = true
			h.pos++
		}
	}
	h.pos = min(h.pos+1, len(h.data))
	text := h.data[start:h.pos]
	if escaped {
		var s string
		if json.Unmarshal(text, &s) == nil {
			return []byte(s)
		}
	}
	return text[1 : len(text)-1]
}

// next skips white space and gives the byte there, or 0 at the end.
func (h *hasher) next() byte {
	for h.pos < len(h.data) {
		switch c := h.data[h.pos]; c {
		case ' ', '\t', '\r', '\n':
			h.pos++
		default:
			return c
		}
	}
	return 0
}

func isDelimiter(c byte) bool {
	return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\n' || c == '\r' || c == '\t'
}

// mix combines two numbers so that order counts.
func mix(a, b uint64) uint64 {
	var buf [16]byte
	binary.LittleEndian.PutUint64(buf[:8], a)
	binary.LittleEndian.PutUint64(buf[8:], b)
	return maphash.Bytes(hashSeed, buf[:])
}
