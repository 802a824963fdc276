/** Manifests for the tests of this folder: small pieces of YAML, and what becomes of them. */
import { formatIpv4 } from '../model/address.ts';
import { formatInputError, InputError } from './errors.ts';
import { readManifests } from './manifests.ts';
import type { ManifestOptions, ManifestResult } from './manifests.ts';

export const read = (text: string, options: ManifestOptions = {}) => readManifests([{ path: 'm.yaml', text }], options);

export function failure(text: string, options: ManifestOptions = {}): string {
  try {
    read(text, options);
  } catch (error) {
    if (error instanceof InputError) return formatInputError(error);
    throw error;
  }
  throw new Error('Nothing was refused');
}

interface ServiceText {
  readonly name?: string;
  readonly spec?: string;
}
export const service = ({ name = 'web', spec = 'ports: [{ port: 80 }]' }: ServiceText = {}) =>
  `---\napiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  selector: { app: web }\n  ${spec}\n`;

interface DeploymentText {
  readonly replicas?: number;
  readonly spec?: string;
  readonly pod?: string;
  readonly container?: string;
}
export const deployment = ({
  replicas = 3,
  spec = 'minReadySeconds: 0',
  pod = 'hostNetwork: false',
  container = 'name: web',
}: DeploymentText = {}) =>
  `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: ${replicas}
  selector: { matchLabels: { app: web } }
  ${spec}
  template:
    metadata: { labels: { app: web, tier: front } }
    spec:
      ${pod}
      containers:
        - ${container}
`;

export const slice = (endpoints: string, ports = '[{ port: 8080 }]') =>
  `---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: { name: web-1, labels: { kubernetes.io/service-name: web } }\naddressType: IPv4\nports: ${ports}\nendpoints: ${endpoints}\n`;

export const addresses = (result: ManifestResult, index = 0) =>
  result.state.servicePorts[index]?.endpoints.map((endpoint) => `${formatIpv4(endpoint.address)}:${endpoint.port}`);
