#include "core/plugin/host_config.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace graft::core {
namespace {

TEST(HostConfig, ReadsByPointerAndAnswersZeroForWhatIsNotThere) {
  const HostConfig config(Json::parse(
      R"({"rank": 8, "alpha": 16.5, "on": true, "init": "kaiming", "betas": [0.9, 0.999],
          "a/b": {"~": -3}, "big": 18446744073709551615, "huge": 1e300, "none": null})"));
  const graft_config* c = &config;
  const graft_config_api& api = *c->api;
  EXPECT_EQ(api.struct_size, sizeof api);
  EXPECT_EQ(api.get_i64(c, "/rank"), 8);
  EXPECT_EQ(api.get_f64(c, "/rank"), 8.0);
  EXPECT_EQ(api.get_f64(c, "/alpha"), 16.5);
  EXPECT_EQ(api.get_i64(c, "/alpha"), 16);
  EXPECT_EQ(api.get_i64(c, "/on"), 1);
  EXPECT_EQ(api.get_f64(c, "/on"), 1.0);
  EXPECT_STREQ(api.get_str(c, "/init"), "kaiming");
  EXPECT_EQ(api.count(c, "/betas"), 2u);
  EXPECT_EQ(api.get_f64(c, "/betas/1"), 0.999);
  EXPECT_EQ(api.get_i64(c, "/a~1b/~0"), -3);
  EXPECT_EQ(api.get_i64(c, "/big"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(api.get_i64(c, "/huge"), std::numeric_limits<std::int64_t>::max());
  for (const char* path : {"/nothing", "/betas/2", "/betas/x", "no pointer", "/rank/0", "/none"}) {
    EXPECT_EQ(api.get_i64(c, path), 0) << path;
    EXPECT_EQ(api.get_f64(c, path), 0) << path;
    EXPECT_STREQ(api.get_str(c, path), "") << path;
    EXPECT_EQ(api.count(c, path), 0u) << path;
  }
  EXPECT_EQ(api.get_i64(c, nullptr), 0);
  EXPECT_STREQ(api.json(c, "/nothing"), "");
  EXPECT_STREQ(api.get_str(c, "/rank"), "");
}

TEST(HostConfig, TextsStayWhereTheyAre) {
  const HostConfig config(Json::parse(R"({"x": {"b": [1, 2.5], "a": "t"}, "y": 1})"));
  const graft_config* c = &config;
  const char* first = c->api->json(c, "/x");
  EXPECT_STREQ(first, R"({"b":[1,2.5],"a":"t"})");
  EXPECT_STREQ(c->api->json(c, "/y"), "1");
  EXPECT_EQ(c->api->json(c, "/x"), first);
  EXPECT_STREQ(c->api->json(c, ""), R"({"x":{"b":[1,2.5],"a":"t"},"y":1})");
}

TEST(HostTable, WritesToTheLogOfItsOwner) {
  std::string said;
  const HostTable table(Log(
      [&](const LogRecord& r) {
        said += std::to_string(static_cast<int>(r.level)) + " " + std::string(r.source) + ": " +
                std::string(r.message) + "\n";
      },
      Level::kDebug));
  const graft_host* host = &table;
  EXPECT_EQ(host->struct_size, sizeof(graft_host));
  EXPECT_EQ(host->abi_minor, GRAFT_ABI_MINOR);
  host->log(host, GRAFT_LOG_WARNING, "x", "careful");
  host->log(host, 99, nullptr, nullptr);
  host->log(host, -5, "x", "low");
  EXPECT_EQ(said, "2 plugin x: careful\n3 plugin ?: \n0 plugin x: low\n");
}

}  // namespace
}  // namespace graft::core
