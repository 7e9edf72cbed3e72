package program

// ShareFrom lets tests choose from how many addresses on sets are shared; it gives what undoes it.
func ShareFrom(n int) func() {
	old := sharedFrom
	sharedFrom = n
	return func() { sharedFrom = old }
}
