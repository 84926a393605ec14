// The media types of OCI images and of Docker schema 2, and what each is (image-spec media-types.md,
// distribution manifest-v2-2.md).

/** What a media type stands for. */
export type MediaKind =
  | 'index'
  | 'manifest'
  | 'config'
  | 'layer'
  | 'foreign-layer'
  | 'schema1'
  | 'unknown';

/** Media types by name. */
export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
} as const;

const kinds: ReadonlyMap<string, MediaKind> = new Map<string, MediaKind>([
  [mediaTypes.ociIndex, 'index'],
  [mediaTypes.dockerManifestList, 'index'],
  [mediaTypes.ociManifest, 'manifest'],
  [mediaTypes.dockerManifest, 'manifest'],
  [mediaTypes.ociConfig, 'config'],
  [mediaTypes.dockerConfig, 'config'],
  [mediaTypes.ociLayer, 'layer'],
  [mediaTypes.ociLayerGzip, 'layer'],
  [mediaTypes.ociLayerZstd, 'layer'],
  [mediaTypes.dockerLayer, 'layer'],
  [mediaTypes.dockerLayerGzip, 'layer'],
  [mediaTypes.dockerLayerZstd, 'layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar', 'foreign-layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'foreign-layer'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'foreign-layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar', 'foreign-layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'foreign-layer'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.zstd', 'foreign-layer'],
  ['application/vnd.docker.distribution.manifest.v1+json', 'schema1'],
  ['application/vnd.docker.distribution.manifest.v1+prettyjws', 'schema1'],
]);

/** What a media type stands for. How a layer is compressed its first bytes say, not its type. */
export function mediaKind(mediaType: string): MediaKind {
  return kinds.get(mediaType) ?? 'unknown';
}
