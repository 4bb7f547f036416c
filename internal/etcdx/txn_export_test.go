package etcdx

// Classified is what Run makes of an error.
var Classified = classified
