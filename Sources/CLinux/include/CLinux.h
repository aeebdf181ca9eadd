/* The parts of Linux that Swift needs and cannot import by itself, one header per noun. */
#ifndef ZERROW_CLINUX_H
#define ZERROW_CLINUX_H

#include "abi_layout.h"
#include "checksum.h"
#include "child.h"
#include "disk_file.h"
#include "file_broker.h"
#include "folder_tree.h"
#include "id_map.h"
#include "kernel_zero.h"
#include "landlock.h"
#include "last_words.h"
#include "local_socket.h"
#include "machine.h"
#include "mapped_file.h"
#include "memory_file.h"
#include "message.h"
#include "private_mounts.h"
#include "reader_sandbox.h"
#include "signals.h"
#include "system_call_filter.h"
#include "system_call_table.h"
#include "trap_report.h"
#include "warm_memory.h"
#include "worker_sandbox.h"
#include "zygote.h"

#endif
