package mirror

import "errors"

func openFile(dir string, own segment, resume bool) (sink, error) {
	return nil, errors.New("no file destination yet: " + dir + own.ID)
}
