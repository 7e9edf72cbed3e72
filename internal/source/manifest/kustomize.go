package manifest

func (r *reader) kustomize(dir string) {}
