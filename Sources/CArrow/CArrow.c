// Compiled only so that the package manager has a source file; the interface is all in the header.
#include "CArrow.h"
