#ifndef ZERROW_CLINUX_H
#define ZERROW_CLINUX_H
#endif
