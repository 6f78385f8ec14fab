// What a method sees of the site that it is attached to.
#pragma once
#include <graft/plugin.h>

namespace graft::core {

/// The functions behind every graft_site of the core, which is a CSite.
const graft_site_api& site_table();

}  // namespace graft::core
