"""Networks as files that run without imcomp: a picture and its hole in, the completed picture out."""
