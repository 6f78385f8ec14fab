// graft/plugin.hpp: plugin.h in C++17. Header-only: it links nothing and has no state, and it is
// hidden, so that two plugins in one process never share a copy of anything in it.
//
// A method is a class M:
//   static constexpr const char* name = "..";    the "type" in RUN.json
//   static constexpr uint32_t kinds = ..;        GRAFT_SITE_*, or-ed
//   static constexpr const char* schema = "..";  JSON Schema of its options
//   static constexpr const char* storage = "..";   optional: graft_method_api.storage
//   explicit M(Config), or M(Host, Config)
//   void plan(const std::vector<Site>&);         optional: all sites, before any attach()
//   void observe(graft_input_pass&, const std::vector<Site>&);    optional: a pass over data first
//   State attach(const Site&);                   declares parameters; State is any type of yours,
//                                                std::optional<State> to decline a site
//   void forward(const State&, const Hook&);     records the computation; optional where parameters
//                                                only replace tensors of the base
//   Merged merge(const State&, const Hook&);     optional: the op's tensors with the method in them
//   Value stored(const State&, const Hook&, std::string_view name);   optional: computed tensors
//   Value loss(const State&, const Hook&);       optional: a term of the loss, empty for none
//   void after_step(const std::vector<const State*>&, const Values&);    optional: after each step
//   void save(const std::vector<const State*>&, const Values&, const AdapterFile&);    optional
// and one line at the end of the file, GRAFT_METHOD_PLUGIN(M, ..). An optimizer is much the same:
// see OptimizerOf. Whatever a member throws reaches the user as an error that names the plugin.
#ifndef GRAFT_PLUGIN_HPP
#define GRAFT_PLUGIN_HPP
#include "plugin_method.hpp"
#include "plugin_optimizer.hpp"

// The one exported symbol. ID is a reverse domain ("org.example.lora"). Put the class into a
// namespace without a name.
#define GRAFT_PLUGIN_OF(TABLES, ID, VERSION, VENDOR, LICENSE)                                 \
  extern "C" GRAFT_PLUGIN_EXPORT const graft_plugin* graft_plugin_entry_v0(void) {            \
    static constexpr graft_plugin entry{                                                      \
        sizeof(graft_plugin), GRAFT_ABI_MAJOR, GRAFT_ABI_MINOR, ID, VERSION, VENDOR, LICENSE, \
        TABLES::get_interface};                                                               \
    return &entry;                                                                            \
  }
#define GRAFT_METHOD_PLUGIN(CLASS, ID, VERSION, VENDOR, LICENSE) \
  GRAFT_PLUGIN_OF(graft::plugin::MethodOf<CLASS>, ID, VERSION, VENDOR, LICENSE)
#define GRAFT_OPTIMIZER_PLUGIN(CLASS, ID, VERSION, VENDOR, LICENSE) \
  GRAFT_PLUGIN_OF(graft::plugin::OptimizerOf<CLASS>, ID, VERSION, VENDOR, LICENSE)
#endif
