package bench

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// Peak runs f and gives the most bytes of memory that its live and not yet collected objects took above
// what there was before, sampled each two milliseconds.
func Peak(f func()) uint64 {
	runtime.GC()
	before, most := heap(), uint64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			most = max(most, heap())
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	<-done
	if most < before {
		return 0
	}
	return most - before
}

func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
