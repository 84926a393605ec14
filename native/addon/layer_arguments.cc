#include "addon/layer_arguments.h"

#include <limits>
#include <utility>

#include "addon/args.h"
#include "addon/errors.h"
#include "addon/objects.h"

namespace ociunpack::addon {
namespace {

PathSource read_path(Fields fields) {
  PathSource source;
  source.path = fields.text("path");
  source.offset = fields.optional_number("offset").value_or(0);
  if (const auto length = fields.optional_number("length")) {
    source.length = static_cast<int64_t>(*length);
  }
  return source;
}

void read_source(Fields fields, LayerOptions* options) {
  if (fields.has("path")) {
    options->source = read_path(std::move(fields));
  } else if (fields.has("fd")) {
    FdSource source;
    source.fd = static_cast<int>(fields.number("fd"));
    source.offset = fields.optional_number("offset").value_or(0);
    if (const auto length = fields.optional_number("length")) {
      source.length = static_cast<int64_t>(*length);
    }
    options->source = source;
  } else {
    StreamSource source;
    if (fields.has("replay")) source.replay = read_path(fields.object("replay"));
    options->source = std::move(source);
  }
}

std::vector<IdMap> read_id_map(Fields& policies, const char* field) {
  std::vector<IdMap> map;
  if (!policies.has(field)) return map;
  const Napi::Value value = policies.value(field);
  if (!value.IsArray()) {
    policies.fail(field, "is not an array");
    return map;
  }
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Fields range(array.Get(i), field);
    map.push_back({static_cast<uint32_t>(range.number("containerID")),
                   static_cast<uint32_t>(range.number("hostID")),
                   static_cast<uint32_t>(range.number("size"))});
  }
  return map;
}

}  // namespace

void read_policies(Fields fields, LayerOptions* options) {
  Policies& policies = options->policies;
  options->plan.symlink_parents =
      fields.choice<SymlinkParents>("symlinkParents", {{"follow", SymlinkParents::kFollow},
                                                       {"replace", SymlinkParents::kReplace},
                                                       {"error", SymlinkParents::kError}});
  policies.overlay_xattrs =
      fields.choice<OverlayXattrs>("overlayXattrs", {{"escape", OverlayXattrs::kEscape},
                                                     {"strip", OverlayXattrs::kStrip},
                                                     {"error", OverlayXattrs::kError}});
  policies.xattrs = fields.choice<XattrMode>(
      "xattrs", {{"strict", XattrMode::kStrict}, {"best-effort", XattrMode::kBestEffort}});
  policies.devices = fields.choice<DeviceMode>("devices", {{"create", DeviceMode::kCreate},
                                                           {"skip", DeviceMode::kSkip},
                                                           {"error", DeviceMode::kError}});
  options->plan.accept_device_whiteouts =
      fields.choice<bool>("deviceWhiteouts", {{"error", false}, {"accept", true}});
  options->ignore_trailing_garbage =
      fields.choice<bool>("trailingGarbage", {{"error", false}, {"ignore", true}});
  policies.ownership = fields.choice<Ownership>(
      "ownership",
      {{"apply", Ownership::kApply}, {"map", Ownership::kMap}, {"ignore", Ownership::kIgnore}});
  policies.uid_map = read_id_map(fields, "uidMap");
  policies.gid_map = read_id_map(fields, "gidMap");
}

namespace {

template <typename T>
void read_limit(Fields& fields, const char* field, T* limit) {
  const auto value = fields.optional_number(field);
  if (!value) return;
  *limit = static_cast<T>(std::min<uint64_t>(*value, std::numeric_limits<T>::max()));
}

void read_limits(Fields fields, Limits* limits) {
  read_limit(fields, "maxBytes", &limits->max_bytes);
  if (const auto ratio = fields.optional_double("maxRatio")) limits->max_ratio = *ratio;
  read_limit(fields, "maxEntries", &limits->max_entries);
  read_limit(fields, "maxPathBytes", &limits->max_path_bytes);
  read_limit(fields, "maxPathDepth", &limits->max_path_depth);
  read_limit(fields, "maxPaxBytes", &limits->max_pax_bytes);
  read_limit(fields, "maxXattrBytes", &limits->max_xattr_bytes);
  read_limit(fields, "maxGlobalXattrs", &limits->max_global_xattrs);
  read_limit(fields, "maxSparseEntries", &limits->max_sparse_entries);
}

std::optional<Digest> read_digest(Fields& fields, const char* field) {
  const auto text = fields.optional_text(field);
  if (!text) return std::nullopt;
  auto digest = Digest::parse(*text);
  if (digest.ok()) return std::move(digest).value();
  fields.fail(field, digest.error().message());
  return std::nullopt;
}

}  // namespace

Format read_format(Fields& fields) {
  return fields.choice<Format>("format", {{"overlay", Format::kOverlay},
                                          {"overlay-userxattr", Format::kOverlayUserxattr},
                                          {"aufs", Format::kAufs},
                                          {"flat", Format::kFlat}});
}

std::optional<LayerOptions> read_layer_options(Napi::Value value) {
  Fields fields(value, "options");
  LayerOptions options;
  read_source(fields.object("source"), &options);
  options.dry = fields.has("dry") && fields.boolean("dry");
  if (!options.dry) options.directory = fields.text("directory");
  options.format = read_format(fields);
  options.count_usage = fields.has("countUsage") && fields.boolean("countUsage");
  options.has_lower = fields.boolean("hasLower");
  options.digest = read_digest(fields, "digest");
  options.size = fields.optional_number("size");
  options.diff_id = read_digest(fields, "diffID");
  read_policies(fields.object("policies"), &options);
  read_limits(fields.object("limits"), &options.limits);
  if (fields.ok()) options.group = unwrap_group(fields.value("group"));
  if (!fields.ok()) return std::nullopt;
  return options;
}

Napi::Value to_js(Napi::Env env, const LayerResult& result) {
  auto object = Napi::Object::New(env);
  object.Set("digest", result.digest.to_string());
  object.Set("diffID", result.diff_id.to_string());
  object.Set("size", static_cast<double>(result.size));
  object.Set("uncompressedSize", static_cast<double>(result.uncompressed_size));
  object.Set("compression", result.compression);
  object.Set("decoder", result.decoder);
  auto counts = Napi::Object::New(env);
  const std::pair<const char*, uint64_t> all_counts[] = {{"entries", result.counts.entries},
                                                         {"files", result.counts.files},
                                                         {"directories", result.counts.directories},
                                                         {"symlinks", result.counts.symlinks},
                                                         {"hardlinks", result.counts.hardlinks},
                                                         {"devices", result.counts.devices},
                                                         {"fifos", result.counts.fifos},
                                                         {"whiteouts", result.counts.whiteouts},
                                                         {"opaques", result.counts.opaques},
                                                         {"bytes", result.counts.bytes}};
  for (const auto& [name, count] : all_counts) counts.Set(name, static_cast<double>(count));
  object.Set("counts", counts);
  auto times = Napi::Object::New(env);
  const std::pair<const char*, double> all_times[] = {
      {"read", result.times.read},     {"decode", result.times.decode},
      {"hash", result.times.hash},     {"parse", result.times.parse},
      {"create", result.times.create}, {"write", result.times.write},
      {"finish", result.times.finish}, {"settle", result.times.settle},
      {"wall", result.times.wall}};
  for (const auto& [name, time] : all_times) times.Set(name, time);
  object.Set("times", times);
  return object;
}

Napi::Value to_js(Napi::Env env, const SettleResult& result) {
  auto object = Napi::Object::New(env);
  object.Set("tree", wrap_tree(env, result.tree));
  object.Set("replanned", result.replanned);
  object.Set("layer", to_js(env, result.layer));
  auto notes = Napi::Array::New(env, result.notes.size());
  for (uint32_t i = 0; i < result.notes.size(); ++i) {
    auto note = Napi::Object::New(env);
    note.Set("kind", result.notes[i].kind);
    note.Set("path", to_js_text(env, result.notes[i].path));
    note.Set("detail", to_js_text(env, result.notes[i].detail));
    notes.Set(i, note);
  }
  object.Set("notes", notes);
  if (result.usage) {
    auto usage = Napi::Object::New(env);
    usage.Set("bytes", static_cast<double>(result.usage->bytes));
    usage.Set("inodes", static_cast<double>(result.usage->inodes));
    object.Set("usage", usage);
  }
  return object;
}

}  // namespace ociunpack::addon
